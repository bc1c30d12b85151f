"""How much memory, how many files and threads each worker holds while a run goes on."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Self

import psutil

from ops.chaos.site import Site

SAMPLE_S = 1.0
GROWN_UP_S = 15.0  #: from its start, until a worker has imported, joined and connected


@dataclass(frozen=True, slots=True)
class Size:
    """What a process holds, or may come to hold besides."""

    mib: int
    fds: int
    threads: int

    def most(self, other: Self) -> Self:
        """The larger of each."""
        return type(self)(max(self.mib, other.mib), max(self.fds, other.fds), max(self.threads, other.threads))


#: What a worker may grow by in a run: a full feed is 32 MiB, and as much again while it is decoded.
MAY_GROW = Size(mib=64, fds=16, threads=8)


@dataclass(slots=True)
class Sizes:
    """What the processes of a run held."""

    worst: Size = Size(0, 0, 0)  #: the most that any held, of each
    first: dict[tuple[str, int], Size] = field(default_factory=dict)  #: when it had grown up
    peak: dict[tuple[str, int], Size] = field(default_factory=dict)  #: since then

    def see(self, worker: str, pid: int, size: Size, *, age_s: float) -> None:
        """Take in one look at a process."""
        self.worst = self.worst.most(size)
        if age_s >= GROWN_UP_S:
            first = self.first.setdefault((worker, pid), size)
            self.peak[worker, pid] = self.peak.get((worker, pid), first).most(size)

    def findings(self) -> list[str]:
        """I9: who grew by more than MAY_GROW."""
        return [
            f"{place[0]} grew by {grown} {what}"
            for place, before in self.first.items()
            for what, may in asdict(MAY_GROW).items()
            if (grown := getattr(self.peak[place], what) - getattr(before, what)) > may
        ]


@asynccontextmanager
async def measuring(site: Site) -> AsyncIterator[Sizes]:
    """Look while the block runs."""
    sizes = Sizes()
    task = asyncio.create_task(_look_often(site, sizes))
    try:
        yield sizes
    finally:
        task.cancel()


async def _look_often(site: Site, sizes: Sizes) -> None:
    while True:
        for worker in site.workers:
            if (process := site.process(worker)) is not None:
                with suppress(psutil.Error):  # it ends just now
                    _look(sizes, worker, psutil.Process(process.pid))
        await asyncio.sleep(SAMPLE_S)


def _look(sizes: Sizes, worker: str, process: psutil.Process) -> None:
    with process.oneshot():
        mib = process.memory_info().rss >> 20
        size = Size(mib, process.num_fds(), process.num_threads())
        sizes.see(worker, process.pid, size, age_s=time.time() - process.create_time())
