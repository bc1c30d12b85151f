"""Spans around a stage's parts: one trace from the chunk that closed a window to the escalation that it raised.

The stages know nothing of it. What leads from one process to the next is the header `traceparent` (W3C), and the
outbox's column of that name. A record that comes again has the header that it had, so its trace goes on where it did.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

from streams.adapters.spans import TRACEPARENT, Did, Open, Result, Said, Spans
from streams.domain.records import Label, Window
from streams.kafka.envelope import raw_headers
from streams.metrics import OTHER
from streams.ports import Batch, Emotion, Fetched, OutcomeStore, Outgoing, Recorded, Sender, Stage
from streams.stages.untraced import Untraced


@dataclass(slots=True)
class _AtHand:
    """What is being handled: its records by offset, and the spans that go on, by the window's or escalation's id."""

    partition: int | None = None
    records: Mapping[int, Fetched] = field(default_factory=dict)
    open: dict[str, Open] = field(default_factory=dict)

    def came_with(self) -> dict[str, str]:
        """The `traceparent` of each record that has one, by `ce_id`."""
        headers = map(raw_headers, self.records.values())
        return {_text(each, "ce_id"): _text(each, TRACEPARENT) for each in headers if TRACEPARENT in each}


_AT_HAND: ContextVar[_AtHand] = ContextVar("at_hand")  # a task's own, and of those that it starts


@contextmanager
def _handling(what: _AtHand) -> Iterator[None]:
    token = _AT_HAND.set(what)
    try:
        yield
    finally:
        _AT_HAND.reset(token)


class Traced(Untraced):
    """What one process tells of its windows. No name of a use case is told but of those that are installed."""

    def __init__(self, spans: Spans, use_cases: Collection[str]) -> None:
        self._spans, self._use_cases = spans, use_cases

    def stage(self, stage: Stage) -> Stage:
        """Keep at hand what the stage handles."""
        return _Stage(stage)

    def sender(self, sender: Sender) -> Sender:
        """Let each record carry its span's context; the span ends when the broker has the record."""
        return _Sender(sender, self)

    def emotion(self, emotion: Emotion) -> Emotion:
        """A span for each window, and one for the request."""
        return _Emotion(emotion, self)

    def outcomes(self, store: OutcomeStore) -> OutcomeStore:
        """A span for each label, and one for the transaction."""
        return _Outcomes(store, self)

    def trace_of(self, window_id: str) -> str | None:
        """The context of the label's span, for the outbox."""
        found = _AT_HAND.get().open.get(window_id)
        return found.traceparent if found else None

    @contextmanager
    def relaying(self, traces: Mapping[str, str]) -> Iterator[None]:
        """A span for each escalation; a retraction has none."""
        opened = {id_: self._spans.begin(Did.RELAY, trace, Said()) for id_, trace in traces.items()}
        with _handling(_AtHand(open=opened)):
            yield

    def close(self) -> None:
        """Hand over what is left."""
        self._spans.close()

    def cut(self, record: Outgoing) -> Open:
        """The span of a window: it began when the log took the chunk that closed it."""
        at_hand = _AT_HAND.get()
        chunk = None if record.cause is None else at_hand.records.get(record.cause)
        trace = None if chunk is None else raw_headers(chunk).get(TRACEPARENT)
        said = self.said(_text(dict(record.headers), "ce_usecase"))
        after = None if trace is None else trace.decode(errors="replace")
        return self._spans.begin(Did.SEGMENT, after, said, at_ms=None if chunk is None else chunk.timestamp)

    def each(self, did: Did, windows: Mapping[str, str]) -> dict[str, Open]:
        """A span for each window (id -> use case), which goes on from what its record came with."""
        traces = _AT_HAND.get().came_with()
        return {id_: self._spans.begin(did, traces.get(id_), self.said(name)) for id_, name in windows.items()}

    def together(self, did: Did, each: Collection[Open]) -> Open:
        """The span of what a batch has in common: in the trace of the first that is kept, with links to the others."""
        said = Said(partition=_AT_HAND.get().partition, windows=len(each))
        first, *others = sorted(each, key=lambda one: not one.span.is_recording())
        return self._spans.begin(did, first.traceparent, said, links=others)

    def said(self, use_case: str) -> Said:
        """What is told of a window."""
        return Said(use_case if use_case in self._use_cases else OTHER, _AT_HAND.get().partition)


@dataclass(frozen=True, slots=True)
class _Stage:
    stage: Stage

    async def handle(self, batch: Batch) -> int | None:
        with _handling(_AtHand(batch.partition, {record.offset: record for record in batch.records})):
            return await self.stage.handle(batch)

    def lost(self, partitions: Collection[int]) -> None:
        self.stage.lost(partitions)


@dataclass(frozen=True, slots=True)
class _Sender:
    sender: Sender
    traced: Traced

    async def send(self, records: Sequence[Outgoing]) -> None:
        opened = [self._span(record) for record in records]
        await self.sender.send([_carrying(record, span) for record, span in zip(records, opened, strict=True)])
        for span in {span for span in opened if span is not None}:  # a window that came twice has one
            span.end()

    def _span(self, record: Outgoing) -> Open | None:
        if record.cause is not None:
            return self.traced.cut(record)
        return _AT_HAND.get().open.get(_text(dict(record.headers), "ce_id"))


@dataclass(frozen=True, slots=True)
class _Emotion:
    emotion: Emotion
    traced: Traced

    async def label(self, windows: Sequence[Window]) -> list[Label]:
        opened = self.traced.each(Did.LABEL, {window.id: window.use_case for window in windows})
        request = self.traced.together(Did.INFER, opened.values())
        try:
            labels = await self.emotion.label(windows)
        except BaseException:  # a call was closed, and the others are asked for anew; or the process ends
            for span in (request, *opened.values()):
                span.end(Result.GIVEN_UP)
            raise
        request.end()
        _AT_HAND.get().open |= opened
        return labels


@dataclass(frozen=True, slots=True)
class _Outcomes:
    store: OutcomeStore
    traced: Traced

    async def open_windows(self, windows: Sequence[Window]) -> frozenset[str]:
        return await self.store.open_windows(windows)

    async def record(self, labels: Sequence[Label]) -> Recorded:
        if not labels:
            return await self.store.record(labels)
        by_window = {label.window_id: label for label in labels}
        opened = self.traced.each(Did.ESCALATE, {id_: label.use_case for id_, label in by_window.items()})
        _AT_HAND.get().open |= opened
        transaction = self.traced.together(Did.COMMIT, opened.values())
        recorded = await self.store.record(labels)
        transaction.end()
        for id_, span in opened.items():
            span.end(_result(id_, recorded), by_window[id_].outcome)
        return recorded


def _result(window_id: str, recorded: Recorded) -> Result:
    if any(window_id == escalation.window_ids[-1] for escalation in recorded.raised):
        return Result.RAISED
    if window_id in recorded.written:
        return Result.WRITTEN
    return Result.REFUSED if window_id in recorded.refused else Result.KNOWN


def _carrying(record: Outgoing, span: Open | None) -> Outgoing:
    if span is None:
        return record
    return replace(record, headers=(*record.headers, (TRACEPARENT, span.traceparent.encode())))


def _text(headers: Mapping[str, bytes], name: str) -> str:
    return headers.get(name, b"").decode(errors="replace")
