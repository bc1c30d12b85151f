"""Topics in memory: the twin of the broker, of the sender and of the dead letters."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiokafka.partitioner import murmur2

from streams.domain.deadletters import DeadLetter
from streams.ports import Fetched, Outgoing


@dataclass(slots=True)
class Kept:
    """A record as a consumer would fetch it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None = field(repr=False)
    headers: Sequence[tuple[str, bytes | None]] = ()


def _no_time() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


class MemoryTopics:
    """A `Sender` whose records can be read back, partitioned as the real one's and in the order they came."""

    def __init__(self, partitions: int = 1, now: Callable[[], datetime] = _no_time) -> None:
        self.partitions = partitions
        self.now = now
        self._logs: defaultdict[tuple[str, int], list[Kept]] = defaultdict(list)

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Append each record to its partition."""
        for record in records:
            self.append(record)

    def append(self, record: Outgoing, partition: int | None = None) -> Kept:
        """Append one record, to a partition of the caller's choice where one is given."""
        if partition is None:
            partition = (murmur2(record.key) & 0x7FFFFFFF) % self.partitions
        log = self._logs[record.topic, partition]
        timestamp = round(self.now().timestamp() * 1000)
        kept = Kept(record.topic, partition, len(log), timestamp, record.key, record.value, tuple(record.headers))
        log.append(kept)
        return kept

    def read(self, topic: str, partition: int | None = None) -> list[Fetched]:
        """The records of a partition, or of all, partition by partition."""
        chosen = range(self.partitions) if partition is None else (partition,)
        return [record for number in chosen for record in self._logs[topic, number]]


class MemoryDeadLetters:
    """`DeadLetters` that stay in a list."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        """Keep them."""
        self.letters.extend(letters)
