"""Records handled per CPU-second: our feed against a stock Faust agent, on one real broker and the same topic."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import psutil
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from feed_work import PARTITIONS, Effects, effects_in
from results import Measure, compared, progress

from services.standalone.kafka import kafka
from services.standalone.processes import Program, kill, start
from streams.kafka.positions import Positions

CALLS, NBYTES = 200, 320
BACKLOG = 150_000
ROUNDS = 3
RATE, LIVE_ROUNDS, LIVE_S = 2_000, 3, 10
#: A live engine may be behind by a second's records, and by what comes between two of its commits.
COMMIT_S = {"ours": 0.5, "stock": 2.8}
BEHIND_S = 1.0
PATIENCE_S = 300  #: Faust's session of 60 s passes before a worker that was killed is replaced
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
    await _same_effects(bootstrap, topic, folder)
    remarks = (
        f"{NBYTES} B, decoded and buffered; same digest and commit; killed -9 after a quarter was committed and started"
        " again, both have the effect of every record; garbage is looked for as seldom in both"
    )
    backlog = compared("feed, backlog", "records/CPU-s", pairs, goal="30", remarks=remarks)
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


@dataclass(frozen=True, slots=True)
class Worker:
    """An engine at work, the first of its group or one that goes on after it."""

    process: subprocess.Popen[bytes]
    group: str
    said: Path


def _worker(
    bootstrap: str,
    topic: str,
    engine: str,
    folder: Path,
    count: int = 0,
    *,
    group: str = "",
    effects: Path | None = None,
) -> Worker:
    group = group or f"{topic}.{engine}.{uuid4().hex}"
    said = folder / f"{uuid4().hex}.json"
    script = Path(__file__).with_name(f"feed_{engine}.py")
    marks = () if effects is None else (str(effects),)
    argv = (sys.executable, str(script), bootstrap, topic, group, str(count), str(said), *marks)
    return Worker(start(Program(engine, argv, log=folder / f"{engine}.log")), group, said)


async def _backlog(bootstrap: str, topic: str, engine: str, folder: Path) -> dict[str, float]:
    """Let the engine work off the topic, kill it once all is committed; what it said of itself."""
    worker = _worker(bootstrap, topic, engine, folder, BACKLOG)
    try:
        await _until(worker.said.exists, worker.process)
        await _until_committed(bootstrap, topic, worker.group)
    finally:
        kill(worker.process)
    await _until_committed(bootstrap, topic, worker.group)
    found: dict[str, float] = json.loads(worker.said.read_text())
    return found


async def _same_effects(bootstrap: str, topic: str, folder: Path) -> None:
    """Kill -9 each engine midway and start it again: both have the same effect of every record."""
    first, second = [await _killed_midway(bootstrap, topic, engine, folder) for engine in ENGINES]
    if np.count_nonzero(first) != BACKLOG or not np.array_equal(first, second):
        raise RuntimeError("after kill -9 the two have not the same effects")


async def _killed_midway(bootstrap: str, topic: str, engine: str, folder: Path) -> Effects:
    file = folder / f"{engine}.effects"
    effects = effects_in(file, BACKLOG)
    worker = _worker(bootstrap, topic, engine, folder, effects=file)
    try:
        await _until_committed(bootstrap, topic, worker.group, BACKLOG // 4)
    finally:
        kill(worker.process)
    before = np.count_nonzero(effects)
    if before == BACKLOG:
        raise RuntimeError("the worker was through before it could be killed")
    worker = _worker(bootstrap, topic, engine, folder, group=worker.group, effects=file)
    try:
        await _until_committed(bootstrap, topic, worker.group)
    finally:
        kill(worker.process)
    progress(f"feed, {engine} killed after {before:,} of {BACKLOG:,} records: {np.count_nonzero(effects):,} in the end")
    return effects


async def _live(bootstrap: str, folder: Path) -> Measure:
    """Both at once on the same live topic: CPU of each process over the same seconds, in which both keep up."""
    topic = await _topic(bootstrap)
    seconds = LIVE_S * LIVE_ROUNDS + 12
    producing = asyncio.create_task(_produce(bootstrap, topic, RATE * seconds, rate=RATE))
    workers = {engine: _worker(bootstrap, topic, engine, folder) for engine in ENGINES}
    try:
        await asyncio.sleep(10)  # both have joined and caught up
        pairs = []
        for number in range(LIVE_ROUNDS):
            began, before = await _end(bootstrap, topic, workers), _cpu(workers)
            await asyncio.sleep(LIVE_S)
            used = [now - then for now, then in zip(_cpu(workers), before, strict=True)]
            records = await _end(bootstrap, topic, workers) - began
            pairs.append((records / used[0], records / used[1]))
            progress(f"feed, live {number + 1}/{LIVE_ROUNDS}: {pairs[-1][0]:,.0f} against {pairs[-1][1]:,.0f}")
    finally:
        for worker in workers.values():
            kill(worker.process)
    await producing
    remarks = (
        f"{RATE:,} records/s of {NBYTES} B, whole process; neither is behind by a second; garbage as in the backlog"
    )
    return compared("feed, live", "records/CPU-s", pairs, goal="10", remarks=remarks)


async def _end(bootstrap: str, topic: str, workers: Mapping[str, Worker]) -> int:
    """Records of the topic so far. RuntimeError where an engine has not committed what it could have."""
    async with Positions({"bootstrap_servers": bootstrap}) as positions:
        for engine, worker in workers.items():
            said = (await positions.read(worker.group, topic)).values()
            behind = sum(position.lag for position in said)
            if behind > RATE * (BEHIND_S + COMMIT_S[engine]):
                raise RuntimeError(f"{engine} does not keep up: {behind:,} records are not committed")
    return sum(position.end for position in said)


def _cpu(workers: Mapping[str, Worker]) -> list[float]:
    times = [psutil.Process(worker.process.pid).cpu_times() for worker in workers.values()]
    return [each.user + each.system for each in times]


async def _until(holds: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline or process.poll() is not None:
            raise RuntimeError(f"the worker ended or is too slow; status {process.poll()}")
        await asyncio.sleep(0.1)


async def _until_committed(bootstrap: str, topic: str, group: str, records: int = BACKLOG) -> None:
    deadline = time.monotonic() + PATIENCE_S
    async with Positions({"bootstrap_servers": bootstrap}) as positions:
        while sum(position.committed for position in (await positions.read(group, topic)).values()) < records:
            if time.monotonic() > deadline:
                raise RuntimeError("not everything was committed")
            await asyncio.sleep(0.1)
