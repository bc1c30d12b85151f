"""Records handled per CPU-second: our feed against a stock Faust agent, on one real broker and the same topic."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import psutil
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from results import Measure, compared, progress

from services.standalone.kafka import kafka
from services.standalone.processes import Program, kill, start
from streams.kafka.positions import Positions

PARTITIONS, CALLS, NBYTES = 4, 200, 320
BACKLOG = 150_000
ROUNDS = 3
RATE, LIVE_ROUNDS, LIVE_S = 2_000, 3, 10
PATIENCE_S = 120
ENGINES = ("ours", "stock")


def measure() -> list[Measure]:
    """Backlog and live."""
    with tempfile.TemporaryDirectory() as folder, kafka(Path(folder)) as bootstrap:
        return asyncio.run(_measure(bootstrap, Path(folder)))


async def _measure(bootstrap: str, folder: Path) -> list[Measure]:
    topic = await _topic(bootstrap)
    await _produce(bootstrap, topic, BACKLOG)
    pairs = []
    for number in range(ROUNDS):
        found = {engine: await _backlog(bootstrap, topic, engine, folder) for engine in ENGINES}
        if found["ours"]["digest"] != found["stock"]["digest"]:
            raise RuntimeError("the two did not buffer the same audio")
        pairs.append((BACKLOG / found["ours"]["cpu_s"], BACKLOG / found["stock"]["cpu_s"]))
        progress(f"feed, backlog {number + 1}/{ROUNDS}: {pairs[-1][0]:,.0f} against {pairs[-1][1]:,.0f} a CPU-second")
    backlog = compared(
        "feed, backlog", "records/CPU-s", pairs, goal="30", remarks=f"{NBYTES} B, decoded and buffered; same commit"
    )
    live = await _live(bootstrap, folder)
    return [backlog, live]


async def _topic(bootstrap: str) -> str:
    name = f"bench-{uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
    await admin.close()
    return name


async def _produce(bootstrap: str, topic: str, count: int, *, rate: int | None = None) -> None:
    """Mu-law frames of `CALLS` calls in turn, at `rate` records a second where it is given."""
    step = 20 if rate else 1_000
    frames = [bytes((call * 7 + n) % 256 for n in range(NBYTES)) for call in range(CALLS)]
    began = time.monotonic()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for first in range(0, count, step):
            numbers = range(first, min(first + step, count))
            sent = [await producer.send(topic, frames[n % CALLS], key=b"call-%d" % (n % CALLS)) for n in numbers]
            await asyncio.gather(*sent)
            if rate:
                await asyncio.sleep(began + first / rate - time.monotonic())


def _worker(bootstrap: str, topic: str, engine: str, folder: Path, count: int) -> tuple[Path, subprocess.Popen[bytes]]:
    said = folder / f"{engine}-{uuid4().hex}.json"
    script = Path(__file__).with_name(f"feed_{engine}.py")
    group = f"{topic}.{said.stem}"
    argv = (sys.executable, str(script), bootstrap, topic, group, str(count), str(said))
    return said, start(Program(engine, argv, log=folder / f"{engine}.log"))


async def _backlog(bootstrap: str, topic: str, engine: str, folder: Path) -> dict[str, float]:
    """Let the engine work off the topic, kill it once all is committed; what it said of itself."""
    said, process = _worker(bootstrap, topic, engine, folder, BACKLOG)
    try:
        await _until(said.exists, process)
        await _until_committed(bootstrap, topic, f"{topic}.{said.stem}")
    finally:
        kill(process)
    await _until_committed(bootstrap, topic, f"{topic}.{said.stem}")
    found: dict[str, float] = json.loads(said.read_text())
    return found


async def _live(bootstrap: str, folder: Path) -> Measure:
    """Both at once on the same live topic: CPU of each process over the same seconds."""
    topic = await _topic(bootstrap)
    seconds = LIVE_S * LIVE_ROUNDS + 12
    producing = asyncio.create_task(_produce(bootstrap, topic, RATE * seconds, rate=RATE))
    processes = {engine: _worker(bootstrap, topic, engine, folder, 0)[1] for engine in ENGINES}
    try:
        await asyncio.sleep(10)  # both have joined and caught up
        pairs = []
        for number in range(LIVE_ROUNDS):
            before = _cpu(processes.values())
            await asyncio.sleep(LIVE_S)
            used = [now - then for now, then in zip(_cpu(processes.values()), before, strict=True)]
            pairs.append((RATE * LIVE_S / used[0], RATE * LIVE_S / used[1]))
            progress(f"feed, live {number + 1}/{LIVE_ROUNDS}: {pairs[-1][0]:,.0f} against {pairs[-1][1]:,.0f}")
    finally:
        for process in processes.values():
            kill(process)
    await producing
    return compared(
        "feed, live", "records/CPU-s", pairs, goal="10", remarks=f"{RATE:,} records/s of {NBYTES} B, whole process"
    )


def _cpu(processes: Sequence[subprocess.Popen[bytes]]) -> list[float]:
    times = [psutil.Process(process.pid).cpu_times() for process in processes]
    return [each.user + each.system for each in times]


async def _until(holds: object, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():  # type: ignore[operator]
        if time.monotonic() > deadline or process.poll() is not None:
            raise RuntimeError(f"the worker ended or is too slow; status {process.poll()}")
        await asyncio.sleep(0.1)


async def _until_committed(bootstrap: str, topic: str, group: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    async with Positions({"bootstrap_servers": bootstrap}) as positions:
        while any(position.lag for position in (await positions.read(group, topic)).values()):
            if time.monotonic() > deadline:
                raise RuntimeError("not everything was committed")
            await asyncio.sleep(0.2)
