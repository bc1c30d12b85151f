"""`undertone audit`: whether the trail of who did what is still what was written."""

import asyncio
import re
from typing import Annotated

import typer
from rich.progress import Progress, track  # noqa: F401
