"""A thousand calls in real time: whether one segment worker keeps up, in what batches, and what a call costs."""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import psutil
from results import Measure, progress, quantile
from segment import CHUNK_MS

from services.standalone import environment
from services.standalone.places import free_port
from services.standalone.processes import Program
from services.standalone.stack import Stack, running_stack

CALLS, SECONDS = (1_000, 500, 250, 100), 30  #: the next where one worker, broker and publisher beside it, falls behind
SETTLING_S = 8  #: from the first record, until what began together has spread
KEEPS_UP_S = 1.0  #: that a record waits at most, all but 5 %
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of so many calls, from when they had settled to when the last chunk was sent."""

    calls: int
    seconds: float
    batches: Sequence[tuple[int, float]]  #: records; seconds that the last of them had waited when all were handled
    cpu_s: float  #: of the segment worker
    others_s: float  #: of broker and PostgreSQL
    late_s: float  #: of the publisher

    @property
    def waits_s(self) -> float:
        """How long a batch's last record waits, all but 5 %."""
        return quantile([waited_s for _, waited_s in self.batches], 0.95)

    @property
    def keeps_up(self) -> bool:
        """Whether publisher and worker were in time."""
        return self.waits_s <= KEEPS_UP_S and self.late_s <= KEEPS_UP_S

    def __str__(self) -> str:
        """One line for a person."""
        rate, cores = sum(size for size, _ in self.batches) / self.seconds, self.cpu_s / self.seconds
        return (
            f"{self.calls:,} calls: {rate:,.0f} records/s, waiting {self.waits_s * 1000:.0f} ms (p95) until handled,"
            f" {cores:.2f} cores of segment, {self.others_s / self.seconds:.2f} of broker and PostgreSQL"
        )


def measure() -> list[Measure]:
    """The most calls of these that are kept up with."""
    seen: list[Seen] = []
    for calls in CALLS:
        with tempfile.TemporaryDirectory() as folder:
            seen.append(asyncio.run(_played(Path(folder), calls)))
        progress(f"live: {seen[-1]}")
        if seen[-1].keeps_up:
            break
    return _told(seen)


def _told(seen: Sequence[Seen]) -> list[Measure]:
    last, sizes = seen[-1], [size for size, _ in seen[-1].batches]
    remarks = "; ".join(map(str, reversed(seen)))
    spread = {"low": min(sizes), "high": max(sizes)}
    cpu_ms = last.cpu_s / last.seconds / last.calls * 1000
    return [
        Measure(
            "live, two-channel calls one segment worker keeps up with",
            last.calls if last.keeps_up else 0,
            "calls",
            goal="1,000",
            remarks=f"chunks of {CHUNK_MS} ms in real time for {SECONDS} s, all on this machine; {remarks}",
        ),
        Measure("live, records a batch, median", quantile(sizes, 0.5), "records", goal="stated", **spread),
        Measure("live, records a batch, p95", quantile(sizes, 0.95), "records", goal="stated", **spread),
        Measure("live, CPU a second of a call in the segment worker", cpu_ms, "ms", goal="stated"),
    ]


async def _played(folder: Path, calls: int) -> Seen:
    async with running_stack(folder, demo_bundle=True, partitions=4, workers=()) as stack:
        noted = folder / "batches"
        await _started(stack, noted)
        publishing = await asyncio.create_subprocess_exec(
            sys.executable,
            str(HERE / "crowd_publisher.py"),
            *(stack.settings.kafka, str(calls), str(SECONDS)),
            stdout=asyncio.subprocess.PIPE,
        )
        while not noted.exists():  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(0.1)
        await asyncio.sleep(SETTLING_S)
        since, before = time.time(), _cpu_s(stack)
        said = json.loads((await publishing.communicate())[0])
        until, after = time.time(), _cpu_s(stack)
        await asyncio.sleep(2)
        lines = [line.split() for line in noted.read_text().splitlines()]
    batches = [(int(size), float(waited_s)) for at, size, waited_s in lines if since <= float(at) <= until]
    used, others = (now - then for now, then in zip(after, before, strict=True))
    return Seen(calls, until - since, batches, used, others, said["late_s"])


async def _started(stack: Stack, noted: Path) -> None:
    """Add the worker to the stack; return once it is ready."""
    port = free_port()
    told = {**environment.told(stack.settings), "UNDERTONE_METRICS_PORT": str(port), "OPENBLAS_NUM_THREADS": "1"}
    argv = (sys.executable, str(HERE / "crowd_worker.py"), str(noted))
    stack.supervisor.add(Program("segment", argv, log=stack.folder / "logs" / "segment.log", env=told))
    while not await asyncio.to_thread(_ready, port):  # noqa: ASYNC110 - a process sets no event
        await asyncio.sleep(0.2)


def _ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def _cpu_s(stack: Stack) -> tuple[float, float]:
    """CPU seconds so far of the segment worker, and of the servers that it uses."""
    used = {name: _of(stack, name) for name in ("segment", "kafka", "postgres")}
    return used["segment"], used["kafka"] + used["postgres"]


def _of(stack: Stack, name: str) -> float:
    process = stack.supervisor.process(name)
    if process is None:
        raise RuntimeError(f"{name} is not running")
    own = psutil.Process(process.pid)
    times = [each.cpu_times() for each in (own, *own.children(recursive=True))]
    return sum(each.user + each.system for each in times)
