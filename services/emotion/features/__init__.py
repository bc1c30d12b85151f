"""What describes a window to the heads: one file each, opened by name through `registry`."""

import os

# Read by Hugging Face's libraries when they are imported, which only modules of this package do.
os.environ |= {"HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
