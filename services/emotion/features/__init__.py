"""What describes a window to the heads: one file each, opened by name through `registry`."""
