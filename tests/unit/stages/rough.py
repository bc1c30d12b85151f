"""A segment worker among faults: it crashes before and after whatever it does, is fenced off, and starts again."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry
from unit.stages.bench import AT, Loudness

from streams.adapters.memory_calls import MemoryCalls
from streams.adapters.memory_tables import MemoryTables
from streams.adapters.memory_topics import Kept, MemoryTopics
from streams.domain.deadletters import DeadLetter
from streams.domain.privacy import Epoch
from streams.kafka.cloudevents import decode_window
from streams.metrics import Metrics
from streams.ports import Batch, Checkpoint, Outgoing
from streams.speech.expecting import Expecting
from streams.stages.segment import Segment
from streams.topics import CALLS, WINDOWS

EPOCHS = (
    Epoch("e1", b"1" * 32, AT - timedelta(days=1)),
    Epoch("e2", b"2" * 32, AT + timedelta(seconds=90)),
    Epoch("e3", b"3" * 32, AT + timedelta(minutes=40)),
)
METRICS = Metrics(CollectorRegistry())


class CrashError(BaseException):
    """The process is gone."""


@dataclass
class Fuse:
    """Blows at the n-th effect from now on: before it, in its middle or after it."""

    left: int | None = None
    when: str = "before"

    @contextmanager
    def around(self) -> Iterator[bool]:
        """Say whether the effect is cut short."""
        due = self.left == 0
        self.left = None if self.left is None or due else self.left - 1
        if due and self.when == "before":
            raise CrashError
        yield due and self.when == "middle"
        if due:
            raise CrashError


@dataclass
class Twins:
    """PostgreSQL and Kafka as the stage sees them; `windows` by id, however often each was sent."""

    fuse: Fuse = field(default_factory=Fuse)
    calls: MemoryCalls = field(default_factory=MemoryCalls)
    topics: MemoryTopics = field(default_factory=MemoryTopics)
    letters: set[tuple[int, str, str | None]] = field(default_factory=set)
    windows: dict[str, tuple[str, int, int, bytes, datetime]] = field(default_factory=dict)
    read: int = 0

    @property
    def tables(self) -> MemoryTables:
        return self.calls.tables

    async def load(self, calls: Collection[str]) -> object:
        return await self.calls.load(calls)

    async def load_partition(self, partition: int) -> object:
        return await self.calls.load_partition(partition)

    async def save(self, checkpoints: Sequence[Checkpoint]) -> frozenset[str]:
        with self.fuse.around() as short:
            return frozenset() if short else await self.calls.save(checkpoints)

    async def withdraw(self, call: str, *, partition: int, next_offset: int, at: datetime) -> None:
        with self.fuse.around() as short:
            if not short:
                await self.calls.withdraw(call, partition=partition, next_offset=next_offset, at=at)

    async def send(self, records: Sequence[Outgoing]) -> None:
        with self.fuse.around() as short:
            await self.topics.send(records[: len(records) // 2] if short else records)

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        with self.fuse.around() as short:
            kept = letters[: len(letters) // 2] if short else letters
            self.letters |= {(letter.offset, letter.reason, letter.call) for letter in kept}

    def look(self) -> None:
        """Take in the windows that were sent since; a window that came before must be the same."""
        sent = self.topics.read(WINDOWS.name, 0)
        for record in sent[self.read :]:
            window = decode_window(record)
            content = (window.call, window.start_ms, window.end_ms, window.data, window.spoken_at)
            assert self.windows.setdefault(window.id, content) == content
        self.read = len(sent)

    def stage(self, clock: "Clock") -> Segment:
        return Segment(
            epochs=EPOCHS,
            use_cases={"demo": Expecting()},
            partitions=lambda: 1,
            store=self,  # type: ignore[arg-type]  # `load` says less
            sender=self,
            letters=self,
            activity=Loudness(),
            metrics=METRICS,
            clock=clock.read,
            checkpoint_interval_s=1e-9,
        )


@dataclass
class Clock:
    now: datetime = AT

    def read(self) -> datetime:
        return self.now


@dataclass
class Worker:
    """A stage and how far it has read; several may read the same log, each believing that it is alone."""

    twins: Twins
    clock: Clock
    log: list[Kept]
    position: int = 0
    stage: Segment = field(init=False)

    def __post_init__(self) -> None:
        self.stage = self.twins.stage(self.clock)

    async def handle(self, count: int) -> int | None:
        """Handle what is next; at the log's end, a tick."""
        records = tuple(self.log[self.position : self.position + count])
        batch = Batch(CALLS.name, 0, records, caught_up=None if records else self.clock.read())
        durable = await self.stage.handle(batch)
        self.position += len(records)
        return durable
