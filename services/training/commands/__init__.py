"""Commands that need the train extra: one file each."""
