"""What the stages need of the outside; each port has an in-memory twin in `streams.adapters`."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from streams.domain.deadletters import DeadLetter
from streams.domain.records import Consent, Escalation, Label, Notice, Purpose, Role, Window


class Fetched(Protocol):
    """A record as fetched: what aiokafka's ConsumerRecord and the tests' twins have in common."""

    topic: str
    partition: int
    offset: int
    timestamp: int  #: the log's time, ms since 1970
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of one partition, in order; empty for a tick at the partition's end."""

    topic: str
    partition: int
    records: tuple[Fetched, ...]
    caught_up: datetime | None = None  #: of a tick: when the broker said that nothing follows


class Stage(Protocol):
    """One arrow of the diagram."""

    async def handle(self, batch: Batch) -> int | None:
        """Make the batch's effects durable; return the next offset that a restart needs (None: no change)."""

    def lost(self, partitions: Collection[int]) -> None:
        """Forget all in-memory state of partitions that were revoked."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record ready to be sent."""

    topic: str
    key: bytes
    value: bytes = field(repr=False)
    headers: tuple[tuple[str, bytes], ...] = ()
    cause: int | None = None  #: offset of the record by which it became certain, where a trace is to lead there


class Sender(Protocol):
    """Sends records to Kafka."""

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Return once the broker has acknowledged every record; keep the order within a key."""


class DeadLetters(Protocol):
    """Where unusable records are put on record."""

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        """Return once the broker has acknowledged every letter."""


class Emotion(Protocol):
    """The inference service."""

    async def label(self, windows: Sequence[Window]) -> list[Label]:
        """One label a window, in order; waits in place while the service is down."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call as Postgres knows it (table `calls`)."""

    call: str  #: pseudonym
    epoch: str
    use_case: str
    language: str
    channels: tuple[Role, ...]
    started_at: datetime
    reference: str | None = None
    notice: Notice | None = None
    consents: Mapping[Purpose, Consent] = field(default_factory=dict)
    consent_seq: int | None = None  #: the record that `emotion.alerting` is in force under; None: not in force
    ended_at: datetime | None = None
    end_reason: str | None = None
    fates: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  #: "0 customer" -> fate -> ms
    turn_at: datetime | None = None  #: the log's time of the chunk in which its oldest open turn begins; None: no turn


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A call's row and the encrypted state of its fold, to be resumed from `next_offset` (table `call_state`)."""

    call: Call
    partition: int
    next_offset: int
    state: bytes = field(repr=False)
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known of a call from before: its checkpoint, or that it is over (`closed`: a tombstone)."""

    call: str
    next_offset: int
    state: bytes = field(repr=False)
    closed: bool = False


class CallStore(Protocol):
    """The segment stage's side of Postgres; the only writer of `calls`. Every method waits while it is down."""

    async def load(self, calls: Collection[str]) -> dict[str, Stored]:
        """The stored calls among these pseudonyms, tombstones included."""

    async def load_partition(self, partition: int) -> list[Stored]:
        """Every call of the partition that is not closed."""

    async def save(self, checkpoints: Sequence[Checkpoint]) -> frozenset[str]:
        """One transaction: rows and states, each only where its `next_offset` grows and the call is not closed.

        Where it stands still, `turn_at` is written all the same: a turn may open right where the call was saved.
        Returns the calls that were refused because they are closed already: erased meanwhile, so forget them.
        """

    async def withdraw(self, call: str, *, partition: int, next_offset: int, at: datetime) -> None:
        """One transaction: delete everything of the call, leave tombstone, audit row and retractions.

        `emotion.alerting` was withdrawn at the log's time `at`. Idempotent; right also for a call that has no row
        (the tombstone then keeps it from ever opening).
        """


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one transaction of the escalate stage did with a batch of labels, by window id."""

    written: frozenset[str]  #: stored now; a window in neither set was stored before, and that row stands
    refused: frozenset[str]  #: the call is not open under the window's `consent_seq`: nothing was written
    raised: tuple[Escalation, ...]  #: new ones, as they lie in the outbox


class OutcomeStore(Protocol):
    """The side of Postgres that label and escalate see. Every method waits while it is down."""

    async def open_windows(self, windows: Sequence[Window]) -> frozenset[str]:
        """The ids among these whose call is open under the window's `consent_seq` at its `spoken_at`."""

    async def record(self, labels: Sequence[Label]) -> Recorded:
        """One transaction: the labels of open calls (first writer wins), their evolutions, and what is to be raised.

        Rules are evaluated over all stored labels of a call, so a batch that comes again changes nothing.
        """


class Outbox(Protocol):
    """Escalations that Postgres holds and Kafka may not have yet."""

    async def deliver(self, send: Callable[[Sequence[Escalation]], Awaitable[None]], *, limit: int) -> int:
        """Send the oldest unsent escalation of up to `limit` calls and mark them sent; how many there were.

        In order per call however many relays run. A crash between `send` and the mark sends again. No withdrawal
        waits for `send`, and the retraction of what it sends comes after it; it is cancelled when it takes too long.
        """


class Attempts(Protocol):
    """Which records a worker set about and did not come back from. Every method waits while PostgreSQL is down."""

    async def pending(self, topic: str, partition: int) -> frozenset[int]:
        """The offsets that were begun and are not done."""

    async def begin(self, topic: str, partition: int, offset: int) -> int:
        """Put on record that `offset` is set about now; how many times it was begun, this one included."""

    async def done(self, topic: str, partition: int, offsets: Collection[int]) -> None:
        """Forget the attempts at these."""
