"""Call histories, what the law of the house allows of each, and the whole stream over stores of the caller's choice."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from unit.stages.bench import AT, EPOCH, Loudness

from streams import usecases
from streams.adapters.fixed_emotion import FixedEmotion
from streams.adapters.memory_topics import Kept, MemoryDeadLetters, MemoryTopics
from streams.domain import scoring
from streams.domain.privacy import pseudonym
from streams.domain.records import (
    Audio,
    CallBody,
    CallRecord,
    Consent,
    Encoding,
    Ended,
    Gap,
    Label,
    Notice,
    Purpose,
    Role,
    Started,
    Window,
)
from streams.domain.schemes import EMODB
from streams.kafka.cloudevents import decode_window, encode_call
from streams.metrics import Metrics
from streams.ports import Batch, CallStore, Checkpoint, OutcomeStore, Stored
from streams.speech import listening
from streams.speech.decode import decode
from streams.speech.expecting import Expecting
from streams.stages.escalate import EscalateStage
from streams.stages.label import LabelStage
from streams.stages.segment import Segment
from streams.topics import CALLS, LABELS, WINDOWS, Topic

CHUNK_MS = 500


@dataclass(frozen=True)
class Say:
    """A consent record; times in seconds from when it is said."""

    granted: bool = True
    purpose: Purpose = Purpose.ALERTING
    basis: str = "consent"
    given_s: int = 0
    expires_s: int | None = None
    notice_s: int | None = None  # None: it brings no notice

    def at(self, now: datetime) -> Consent:
        def moment(seconds: int) -> datetime:
            return now + timedelta(seconds=seconds)

        notice = None if self.notice_s is None else Notice("ivr-9", "1", "es", moment(self.notice_s))
        expires = None if self.expires_s is None else moment(self.expires_s)
        return Consent(self.purpose, self.granted, self.basis, moment(self.given_s), notice=notice, expires_at=expires)


@dataclass(frozen=True)
class Speak:
    """So many chunks of the customer speaking."""

    chunks: int


@dataclass(frozen=True)
class Silence:
    """A gap of media time, or nothing at all for so many seconds of the log's time."""

    gap_ms: int = 0
    wait_s: int = 0


@dataclass(frozen=True)
class Start:
    """How the call starts."""

    notice_s: int | None = 0
    says: tuple[Say, ...] = ()


Step = Say | Speak | Silence | Ended
History = tuple[Start, tuple[Step, ...]]

_SECONDS = st.sampled_from([0, 0, 0, -60, 3])
_GRANTS = st.builds(
    Say,
    purpose=st.sampled_from([Purpose.ALERTING] * 4 + [Purpose.TRAINING]),
    basis=st.sampled_from(["consent"] * 4 + ["contract", " "]),
    given_s=_SECONDS,
    expires_s=st.sampled_from([None, None, None, 4, 20, -5]),
    notice_s=st.none() | _SECONDS,
)
_WITHDRAWALS = st.sampled_from([Purpose.ALERTING] * 3 + [Purpose.TRAINING]).map(
    lambda purpose: Say(granted=False, purpose=purpose)
)
_STEPS = st.one_of(
    st.builds(Speak, st.integers(1, 16)),
    st.builds(Speak, st.integers(6, 16)),
    _GRANTS,
    _WITHDRAWALS,
    st.builds(Silence, gap_ms=st.sampled_from([200, 5000])),
    st.builds(Silence, wait_s=st.sampled_from([2, 31, 901])),
    st.just(Ended("completed")),
)
_STARTS = st.builds(
    Start,
    notice_s=st.sampled_from([0, 0, 0, None, 3]),
    says=st.lists(_GRANTS, max_size=2).map(tuple) | st.just((Say(),)),
)
HISTORIES = st.tuples(_STARTS, st.lists(_STEPS, min_size=2, max_size=9).map(tuple))


class Law:
    """What may be heard, said as in the promise and without the code's own fold."""

    def __init__(self, started: Started) -> None:
        self.notice, self.grant, self.over = started.notice, None, False
        for consent in started.consents:
            self.hear(consent)

    grant: Consent | None

    def hear(self, body: CallBody) -> None:
        if isinstance(body, Ended):
            self.over = True
        if isinstance(body, Consent) and body.purpose is Purpose.ALERTING:
            self.over = self.over or not body.granted
            self.grant = body

    def allows(self, at: datetime) -> bool:
        grant = self.grant
        if self.over or grant is None or not grant.basis.strip() or grant.given_at > at:
            return False
        notice = grant.notice or self.notice
        expired = grant.expires_at is not None and grant.expires_at <= at
        return notice is not None and notice.given_at <= at and not expired


@dataclass
class Told:
    """A history as it lies in the log; `allowed` are the offsets of the audio that may be decoded."""

    call_id: str
    topics: MemoryTopics = field(default_factory=MemoryTopics)
    now: datetime = AT
    log: list[Kept] = field(default_factory=list)
    audio: dict[bytes, int] = field(default_factory=dict)  # its bytes -> its offset
    media: dict[int, tuple[int, int]] = field(default_factory=dict)  # offset -> from, to
    allowed: set[int] = field(default_factory=set)
    withdrawn: int | None = None  # the offset of the first withdrawal
    _media_ms: int = 0

    def put(self, body: CallBody, duration_ms: int = 0) -> int:
        record = CallRecord(self.call_id, len(self.log), self._media_ms, self.now, body)
        self.topics.now = lambda: self.now
        kept = self.topics.append(encode_call(record))
        self.log.append(kept)
        self.media[kept.offset] = (self._media_ms, self._media_ms + duration_ms)
        self._media_ms += duration_ms
        self.now += timedelta(milliseconds=duration_ms)
        return kept.offset


def tell(history: History, call_id: str) -> Told:
    """Put a history into the log."""
    start, steps = history
    told = Told(call_id)
    notice = None if start.notice_s is None else Notice("ivr-7", "3", "es", AT + timedelta(seconds=start.notice_s))
    started = Started(
        "demo", (Role.AGENT, Role.CUSTOMER), "es", notice, tuple(say.at(AT) for say in start.says), reference="T-81"
    )
    told.put(started)
    law = Law(started)
    for step in steps:
        _tell(told, law, step)
    return told


def _tell(told: Told, law: Law, step: Step) -> None:
    match step:
        case Speak(chunks):
            for _ in range(chunks):
                chunk = _speech(len(told.log))
                at = told.now
                offset = told.put(chunk, CHUNK_MS)
                told.audio[chunk.data] = offset
                if law.allows(at):
                    told.allowed.add(offset)
        case Silence(gap_ms, wait_s):
            if gap_ms:
                told.put(Gap(gap_ms, "paused"), gap_ms)
            told.now += timedelta(seconds=wait_s)
        case Say():
            consent = step.at(told.now)
            law.hear(consent)
            offset = told.put(consent)
            if consent.purpose is Purpose.ALERTING and not consent.granted and told.withdrawn is None:
                told.withdrawn = offset
        case Ended():
            told.put(step)
            law.hear(step)


def _speech(number: int) -> Audio:
    """The customer, loud, and nobody else; no two chunks have the same bytes."""
    loud = (8000 + number).to_bytes(2, "big") + (0x10000 - 8000 - number).to_bytes(2, "big")
    pair = b"\0\0" + loud[:2] + b"\0\0" + loud[2:]
    return Audio(Encoding.L16, 8000, 2, pair * (CHUNK_MS * 8 // 2))


@contextmanager
def decoded() -> Iterator[list[bytes]]:
    """Every chunk that is decoded within the block, in order, repeats included."""
    seen: list[bytes] = []

    def watch(audio: Audio) -> object:
        seen.append(audio.data)
        return decode(audio)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listening, "decode", watch)
        yield seen


@dataclass
class Asked:
    """An `Emotion` that remembers what it was asked and finds everything angry."""

    windows: list[Window] = field(default_factory=list)

    async def label(self, windows: Sequence[Window]) -> list[Label]:
        self.windows += windows
        heads = {head: {name: float(name == wanted) for name in classes} for (head, classes), wanted in _ANGRY}
        return await FixedEmotion({"demo": EMODB}, {window.data: heads for window in windows}).label(windows)


_ANGRY = tuple(zip(EMODB.heads().items(), ("anger", "emotional", "negative", "negative", "excited"), strict=True))


@dataclass
class Watched:
    """A call store, and what had been decoded, sent and judged at the moment of a withdrawal."""

    store: CallStore
    look: Callable[[], object]
    at_withdrawal: object = None

    async def load(self, calls: Collection[str]) -> dict[str, Stored]:
        return await self.store.load(calls)

    async def load_partition(self, partition: int) -> list[Stored]:
        return await self.store.load_partition(partition)

    async def save(self, checkpoints: Sequence[Checkpoint]) -> frozenset[str]:
        return await self.store.save(checkpoints)

    async def withdraw(self, call: str, *, partition: int, next_offset: int, at: datetime) -> None:
        await self.store.withdraw(call, partition=partition, next_offset=next_offset, at=at)
        self.at_withdrawal = self.at_withdrawal or self.look()


class Stream:
    """segment, label and escalate over one log, their stores of the caller's choice."""

    def __init__(
        self,
        told: Told,
        calls: CallStore,
        outcomes: Callable[[Callable[[], datetime]], OutcomeStore],
        chunks: Sequence[bytes],
    ) -> None:
        self.told, self.emotion, self.chunks = told, Asked(), chunks
        self.calls = Watched(calls, self.used)
        self.letters, self.metrics = MemoryDeadLetters(), Metrics(CollectorRegistry())
        self.now = AT
        self.outcomes = outcomes(lambda: self.now)
        self.call = pseudonym(EPOCH, told.call_id)
        self._read: dict[str, int] = {}
        self.segment = self.start()

    def start(self, partitions: int = 1) -> Segment:
        """A segment worker, without a memory."""
        return Segment(
            epochs=(EPOCH,),
            use_cases={"demo": Expecting()},
            partitions=lambda: partitions,
            store=self.calls,
            sender=self.told.topics,
            letters=self.letters,
            activity=Loudness(),
            metrics=self.metrics,
            clock=lambda: self.now,
            checkpoint_interval_s=1e-9,
        )

    async def hear(self, first: int, after: int) -> int | None:
        """The segment stage handles these records of the log."""
        records = tuple(self.told.log[first:after])
        self.now = datetime.fromtimestamp(records[-1].timestamp / 1000, UTC)
        return await self.segment.handle(Batch(CALLS.name, 0, records))

    async def judge(self) -> None:
        """The label stage handles what is new on its topic."""
        asked = {"demo": scoring.Asked(EMODB)}
        label = LabelStage(
            self.letters, self.outcomes, self.emotion, asked, self.told.topics, self.metrics, lambda: self.now
        )
        await label.handle(self._new(WINDOWS))

    async def record(self) -> None:
        """The escalate stage handles what is new on its topic."""
        escalate = EscalateStage(self.letters, self.outcomes, self.metrics, lambda: self.now)
        await escalate.handle(self._new(LABELS))

    def used(self) -> tuple[int, int, int]:
        """How much was decoded, sent and judged so far."""
        return len(self.chunks), len(self.windows()), len(self.emotion.windows)

    def windows(self) -> list[Window]:
        """Every window on its topic."""
        return [decode_window(record) for record in self.told.topics.read(WINDOWS.name)]

    def _new(self, topic: Topic) -> Batch:
        records = self.told.topics.read(topic.name)
        new = records[self._read.get(topic.name, 0) :]
        self._read[topic.name] = len(records)
        return Batch(topic.name, 0, tuple(new))


RULES = {name: use_case.rules for name, use_case in usecases.load().items()}
SCHEMES = {name: use_case.scheme for name, use_case in usecases.load().items()}

#: How a history is worked off: records of the next batch, then what happens; used again from the start at its end.
SCHEDULES = st.lists(
    st.tuples(st.integers(1, 30), st.sampled_from(["", "judge", "judge record", "judge record", "crash", "restart"])),
    min_size=1,
    max_size=6,
)
Schedule = list[tuple[int, str]]


def batches(schedule: Schedule) -> Iterator[tuple[int, str]]:
    """The schedule, over and over; the crashes of the first hundred turns only, so that it comes to an end."""
    turn = 0
    while True:
        size, event = schedule[turn % len(schedule)]
        yield size, event if turn < 100 else "judge record"
        turn += 1


async def work_off(stream: Stream, schedule: Schedule, check: Callable[[int], object]) -> None:
    """Run a history through the stream; `check` hears after every turn how many records were handled so far."""
    position = committed = furthest = 0
    for size, event in batches(schedule):
        if position >= len(stream.told.log):
            break
        durable = await stream.hear(position, position + size)
        position = min(position + size, len(stream.told.log))
        furthest = max(furthest, position)
        if event != "crash":
            committed = committed if durable is None else durable
        if event in {"crash", "restart"}:
            stream.segment = stream.start()
            position = committed
        if "judge" in event:
            await stream.judge()
        if "record" in event:
            await stream.record()
        await _checked(check(furthest))
    await stream.judge()
    await stream.record()
    await _checked(check(furthest))


async def _checked(result: object) -> None:
    if hasattr(result, "__await__"):
        await result
