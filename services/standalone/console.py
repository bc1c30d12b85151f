"""What `undertone up` and `undertone doctor` do and print."""

import asyncio
import logging
import os
import shlex
import signal
from pathlib import Path

from rich.console import Console

from services.standalone import doctor, stack
from streams.settings import Settings


async def run(folder: Path, *, partitions: int, demo_bundle: bool) -> None:
    """Run the stack until this task is cancelled, which SIGTERM and Ctrl-C do."""
    console = Console(highlight=False)
    current = asyncio.current_task()
    if current is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, current.cancel)

    def told(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    async with stack.running_stack(
        folder, demo_bundle=demo_bundle, partitions=partitions, given=os.environ, told=told
    ) as running:
        for name, address in running.probes.items():
            told(f"{name}: {address}")
        told(f"commands in other terminals reach it after: export UNDERTONE_FOLDER={shlex.quote(str(running.folder))}")
        told(f"logs in {running.folder}/logs; Ctrl-C stops everything")
        await asyncio.Event().wait()


async def examine(settings: Settings) -> bool:
    """Print every finding; whether the stream can run."""
    console = Console(highlight=False)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the finding says it in one line
    well = True
    async for finding in doctor.examine(settings):
        _print(console, finding)
        well = well and (finding.remedy is None or finding.optional)
    return well


def _print(console: Console, finding: doctor.Finding) -> None:
    style, mark = "green", "ok "
    if finding.remedy is not None:
        style, mark = ("yellow", "opt") if finding.optional else ("red", "no ")
    console.print(mark, style=style, end=" ")
    console.print(f"{finding.what}: {finding.said}", markup=False, soft_wrap=True)
    if finding.remedy is not None:
        console.print(f"    {finding.remedy}", markup=False, style="bold", soft_wrap=True)
