"""A topic, workers in processes of their own, and the one question: has every committed offset had its effect?"""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import GroupCoordinatorNotAvailableError

from services.standalone.processes import Program, kill, last_lines, start
from streams.kafka.positions import Positions

WORKER = Path(__file__).with_name("worker.py")
ODD_PUBLISHER = Path(__file__).with_name("odd_publisher.py")
PARTITIONS = 4
PATIENCE_S = 60


@dataclass(slots=True)
class Worker:
    """One process of the group."""

    name: str
    program: Program
    process: subprocess.Popen[bytes]

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def terminate(self) -> int:
        """SIGTERM; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            said = "\n".join(last_lines(self.program.log, 30))
            raise AssertionError(f"{self.name} did not end within {PATIENCE_S} s:\n{said}") from None

    def kill(self) -> None:
        """Kill -9."""
        kill(self.process)

    def log(self) -> str:
        return self.program.log.read_text()


@dataclass(slots=True)
class Rig:
    """One topic and one group on a broker, and the file that all workers write to."""

    bootstrap: str
    folder: Path
    topic: str = field(default_factory=lambda: f"engine-{uuid4().hex}")
    produced: Counter[int] = field(default_factory=Counter)  #: partition -> records acknowledged
    workers: list[Worker] = field(default_factory=list)

    @property
    def group(self) -> str:
        return f"{self.topic}.group"

    @property
    def sink(self) -> Path:
        return self.folder / "sink.txt"

    async def create(self, *topics: str, **config: str) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        settings = {key.replace("_", "."): value for key, value in config.items()}
        new = [NewTopic(name, PARTITIONS, 1, topic_configs=settings) for name in topics or (self.topic,)]
        await admin.create_topics(new)
        await admin.close()

    async def produce(self, count: int, *, nbytes: int = 320, rate: float | None = None) -> None:
        """Publish records round the partitions, at `rate` a second where it is given; counted when acknowledged."""
        step = count if rate is None else max(1, round(rate / 20))
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap, enable_idempotence=True) as producer:
            for first in range(0, count, step):
                numbers = range(first, min(first + step, count))
                futures = [await producer.send(self.topic, bytes(nbytes), partition=n % PARTITIONS) for n in numbers]
                for future in futures:
                    self.produced[(await future).partition] += 1
                if rate is not None:
                    await asyncio.sleep(step / rate)

    async def produce_unreadable(self, partition: int) -> None:
        """Publish a record that aiokafka raises at."""
        await publish_unreadable(self.bootstrap, self.topic, partition)
        self.produced[partition] += 1

    def start(self, name: str = "a", **how: object) -> Worker:
        """Start a worker; see `worker.How`."""
        given = {
            "name": name,
            "bootstrap": self.bootstrap,
            "topic": self.topic,
            "group": self.group,
            "sink": str(self.sink),
            **how,
        }
        program = Program(name, (sys.executable, str(WORKER), json.dumps(given)), log=self.folder / f"{name}.log")
        worker = Worker(name, program, start(program))
        self.workers.append(worker)
        return worker

    def end(self) -> None:
        for worker in self.workers:
            worker.kill()

    def effects(self) -> Counter[tuple[int, int]]:
        """(partition, offset) -> how often it had its effect."""
        return Counter(place for place, _ in self._lines())

    def wrote(self, name: str) -> int:
        """Effects by the worker of this name."""
        return sum(writer == name for _, writer in self._lines())

    def notes(self, event: str) -> list[tuple[int, int]]:
        """For each batch that `begun` or `ended`: its records and the bytes queued; how many partitions were `lost`."""
        lines = [line.split() for line in self._text().splitlines() if line.startswith("#")]
        return [(int(records), int(queued)) for _, what, _, records, queued in lines if what == event]

    def _lines(self) -> Iterator[tuple[tuple[int, int], str]]:
        for line in self._text().splitlines():
            if not line.startswith("#"):
                partition, offset, writer = line.split()
                yield (int(partition), int(offset)), writer

    def _text(self) -> str:
        return self.sink.read_text() if self.sink.exists() else ""

    async def committed(self) -> dict[int, int]:
        """The broker's word, partition -> next offset; only partitions that were committed."""
        async with Positions({"bootstrap_servers": self.bootstrap}) as positions:
            while True:
                try:
                    said = await positions.read(self.group, self.topic)
                    break
                except GroupCoordinatorNotAvailableError:  # a new broker has none for a moment
                    await asyncio.sleep(0.1)
        return {partition: position.committed for partition, position in said.items()}

    async def check(self) -> dict[int, int]:
        """Every offset below the broker's committed offset has had its effect; what is committed."""
        committed = await self.committed()  # first: an effect may come before its commit, never after
        effects = self.effects()
        lost = [(number, at) for number, upto in committed.items() for at in range(upto) if (number, at) not in effects]
        assert not lost, f"{len(lost)} committed and without effect, such as {lost[:5]}"
        return committed

    async def finish(self) -> int:
        """Wait until everything produced is committed; nothing is lost. How many effects came more than once."""
        await self.until_committed(sum(self.produced.values()))
        await self.check()
        effects = self.effects()
        assert len(effects) == sum(self.produced.values())
        return effects.total() - len(effects)

    async def until_committed(self, records: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while sum((committed := await self.committed()).values()) < records:
            said = "\n".join(line for worker in self.workers for line in last_lines(worker.program.log, 15))
            assert time.monotonic() < deadline, f"{committed} of {dict(self.produced)} committed:\n{said}"
            await asyncio.sleep(0.2)

    async def until(self, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            said = "\n".join(line for worker in self.workers for line in last_lines(worker.program.log, 15))
            assert time.monotonic() < deadline, f"waited in vain:\n{said}"
            await asyncio.sleep(0.05)


async def publish_unreadable(bootstrap: str, topic: str, partition: int) -> None:
    """Publish a record with a header whose name is not UTF-8."""
    argv = (sys.executable, str(ODD_PUBLISHER), bootstrap, topic, str(partition))
    process = await asyncio.create_subprocess_exec(*argv)
    assert await process.wait() == 0


@contextmanager
def rig(bootstrap: str, folder: Path) -> Iterator[Rig]:
    made = Rig(bootstrap, folder)
    try:
        yield made
    finally:
        made.end()


@asynccontextmanager
async def producing(made: Rig, count: int, *, rate: float) -> AsyncIterator[asyncio.Task[None]]:
    """Records come in while the block runs; on leaving it all have."""
    task = asyncio.create_task(made.produce(count, rate=rate))
    try:
        yield task
        await task
    finally:
        task.cancel()
