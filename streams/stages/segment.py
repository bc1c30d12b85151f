"""calls.v1 -> windows.v1: consent gate, voice activity, windows, pseudonyms, checkpoints. Alone writes `calls`."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain

import numpy as np
from msgspec import MsgspecError

from streams.domain import call as fold
from streams.domain.call import Break, GrantRefused, Listen, Refuse, Withdraw
from streams.domain.consent import Standing, standing
from streams.domain.deadletters import DeadLetter, Reason, UnusableError
from streams.domain.privacy import Epoch, epoch_at, pseudonym, window_id
from streams.domain.records import Audio, CallRecord, Consent, Encoding, Role, Started, Window
from streams.domain.windows import Fate
from streams.kafka.cloudevents import CONSENT, decode_call, encode_window, partition_of
from streams.kafka.deadletters import dead_letter
from streams.kafka.envelope import logged_at, raw_headers
from streams.metrics import Metrics
from streams.ports import Batch, CallStore, DeadLetters, Fetched, Sender
from streams.speech.activity import VoiceActivity
from streams.speech.decode import encode
from streams.speech.expecting import Expecting
from streams.speech.listening import Spoken, hear
from streams.speech.telling import Telling
from streams.stages.live import Item, Live, begin, restore
from streams.store.sealing import SealError

log = logging.getLogger(__name__)

CLOCK_MARGIN = timedelta(seconds=5)  #: by which this machine's clock may run ahead of the log's
MOST_ELSEWHERE = 10_000  #: open calls of other partitions that are remembered; more are looked up again


@dataclass(slots=True)
class _Partition:
    number: int
    calls: dict[str, Live] = field(default_factory=dict)
    closed: dict[str, int] = field(default_factory=dict)  #: calls of this batch that are over, and where they ended
    elsewhere: set[str] = field(default_factory=set)  #: open calls of another partition, or that cannot be read
    position: int | None = None
    saved_at: float = 0.0

    def durable(self) -> int | None:
        """The next offset that a restart needs: what no open call's checkpoint still needs is done."""
        held = [live.saved for live in self.calls.values() if live.holds_back]
        return min(held, default=self.position)


@dataclass(slots=True)
class _Admitted:
    """What a batch asks for besides hearing."""

    withdrawals: list[tuple[str, int, datetime]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)


class Segment:
    """The stage. `clock` says what time it is where the partition's end leaves no log to ask.

    `use_cases` are those that are installed.
    """

    def __init__(
        self,
        *,
        epochs: Sequence[Epoch],
        use_cases: Mapping[str, Expecting],
        partitions: Callable[[], int],
        store: CallStore,
        sender: Sender,
        letters: DeadLetters,
        activity: VoiceActivity,
        telling: Telling | None = None,
        metrics: Metrics,
        clock: Callable[[], datetime],
        checkpoint_interval_s: float = 1.0,
    ) -> None:
        self._epochs, self._use_cases, self._count = epochs, use_cases, partitions
        self._store, self._sender, self._letters = store, sender, letters
        self._activity, self._telling, self._metrics, self._clock = activity, telling, metrics, clock
        self._interval_s = checkpoint_interval_s
        self._partitions: dict[int, _Partition] = {}

    def lost(self, partitions: Collection[int]) -> None:
        """Forget every call of these partitions."""
        for number in partitions:
            self._partitions.pop(number, None)

    async def handle(self, batch: Batch) -> int | None:
        """Fold the batch; its windows, dead letters and withdrawals are durable when this returns."""
        part = self._partitions.get(batch.partition) or await self._resume(batch.partition)
        await self._find(part, batch)
        admitted = self._admit(part, batch)
        for call, next_offset, at in admitted.withdrawals:
            await self._store.withdraw(call, partition=part.number, next_offset=next_offset, at=at)
            self._metrics.count("calls", event="withdrawn")
        # Before anything is checkpointed: a restart does not come by a refused record again.
        await self._letters.put(admitted.letters)
        dead, partition = len(admitted.letters), str(part.number)
        self._metrics.share("dead_letter_share", dead, of=len(batch.records), partition=partition)
        await self._hear(part)
        if batch.records:
            part.position = batch.records[-1].offset + 1
            if (logged := _log_time(batch)) is not None:
                self._metrics.observe("ingest_seconds", (self._clock() - logged).total_seconds())
        await self._checkpoint(part)
        return part.durable()

    async def _resume(self, number: int) -> _Partition:
        part = self._partitions[number] = _Partition(number)
        await self._load(part)
        return part

    async def _load(self, part: _Partition) -> None:
        """Go on with every open call of the partition that is not in memory."""
        for stored in await self._store.load_partition(part.number):
            if stored.call in part.calls:
                continue
            try:
                part.calls[stored.call] = live = restore(stored, self._epochs)
                if (said := self._use_cases.get(live.ledger.use_case)) is not None:
                    live.listening.expect(said)
            except (SealError, MsgspecError) as error:
                log.warning("a call's state cannot be read", extra={"error": type(error).__name__})
                self._metrics.count("states_unreadable")

    async def _find(self, part: _Partition, batch: Batch) -> None:
        """Look up which calls that are not in memory are over."""
        ids = {record.key for record in batch.records if record.key}
        names = chain.from_iterable(self._names(key.decode(errors="replace")) for key in ids)
        unknown = {name for name in names if name not in part.calls}
        stored = await self._store.load(unknown) if unknown else {}
        unlooked = {name for name, known in stored.items() if not known.closed} - part.elsewhere
        if unlooked:  # begun since by a worker that has lost the partition and does not know it yet
            await self._load(part)
            if len(part.elsewhere) > MOST_ELSEWHERE:
                part.elsewhere.clear()
            part.elsewhere |= unlooked - part.calls.keys()
        part.closed = {name: known.next_offset for name, known in stored.items() if name not in part.calls}

    def _admit(self, part: _Partition, batch: Batch) -> _Admitted:
        admitted, counts = _Admitted(), Counter[tuple[str, str]]()
        for record in batch.records:
            kind, outcome = "unreadable", "handled"
            try:
                said = decode_call(record)
                kind = type(said.body).__name__.lower()
                self._admit_record(part, record, said, admitted)
            except UnusableError as error:
                outcome = "dead"
                admitted.letters.append(dead_letter(record, error, call=self.named(record)))
                self._metrics.count("dead_letters", reason=error.reason)
            counts[kind, outcome] += 1
        for (kind, outcome), records in counts.items():
            self._metrics.count("records", records, type=kind, outcome=outcome)
        self._pass_time(part, batch)
        return admitted

    def _admit_record(self, part: _Partition, record: Fetched, said: CallRecord, admitted: _Admitted) -> None:
        names, next_offset = self._names(said.call_id), record.offset + 1
        withdraws = isinstance(said.body, Consent) and fold.withdraws(said.body)
        misplaced = partition_of(said.call_id.encode(), self._count()) != part.number
        live = next((part.calls[name] for name in names if name in part.calls), None)
        if live is not None:
            live.idle(said.logged_at)
        if withdraws and (misplaced or live is None or live.ledger.ended_at is not None):
            # Offsets of another partition say nothing of what is done on the call's own.
            self._withdraw(part, names, said, 0 if misplaced else next_offset, admitted)
        elif misplaced:
            raise UnusableError(Reason.WRONG_PARTITION, "the key belongs elsewhere: set partitioner=murmur2_random")
        elif live is not None and live.ledger.ended_at is None:
            self._take_in(part, live, said, record.offset, admitted)
        elif live is not None or not part.closed.keys().isdisjoint(names):
            if record.offset >= max(part.closed.get(name, 0) for name in names):  # else it was folded before the end
                self._after_end(said)
        else:
            self._begin(part, said, next_offset)

    def _withdraw(
        self, part: _Partition, names: Sequence[str], said: CallRecord, next_offset: int, admitted: _Admitted
    ) -> None:
        """Withdraw a call that is not going on here, under every name that it can have."""
        admitted.withdrawals += [(name, next_offset, said.logged_at) for name in names]
        part.closed |= dict.fromkeys(names, next_offset)
        for name in names:
            part.calls.pop(name, None)  # over, and not yet written; or here from before there were more partitions

    def _begin(self, part: _Partition, said: CallRecord, next_offset: int) -> None:
        epoch = epoch_at(self._epochs, said.logged_at)
        if epoch is None:
            raise UnusableError(Reason.NO_EPOCH, "logged before the first key epoch: add one that begins earlier")
        expecting = self._use_cases.get(said.body.use_case) if isinstance(said.body, Started) else None
        told = None if expecting is None else expecting.one_channel
        ledger = fold.begin(said, call=pseudonym(epoch, said.call_id), epoch=epoch.id, told=told)
        if expecting is None:
            raise UnusableError(Reason.UNKNOWN_USE_CASE, "`use_case` is not installed: see UNDERTONE_USE_CASES")
        live = begin(ledger, epoch, expecting)
        live.next_offset = next_offset
        live.queue.append(Item(next_offset, ledger, (), opens=True))
        part.calls[ledger.call] = live
        self._metrics.count("calls", event="mixed" if Role.MIXED in ledger.channels else "started")

    def _take_in(self, part: _Partition, live: Live, said: CallRecord, offset: int, admitted: _Admitted) -> None:
        if offset < live.next_offset:
            return  # folded before the restart, and not needed again
        live.next_offset = offset + 1
        if offset < live.resume_offset:
            live.refill(said)
            return
        missing = live.ledger.missing
        live.ledger, actions = fold.step(live.ledger, said)
        self._metrics.count("records_missing", live.ledger.missing - missing)
        self._metrics.count("grants_refused", actions.count(GrantRefused()))
        live.queue.append(Item(offset + 1, live.ledger, actions, opens=isinstance(said.body, Consent)))
        for action in actions:
            if isinstance(action, Withdraw):
                part.calls.pop(live.ledger.call)
                part.closed[live.ledger.call] = offset + 1
                admitted.withdrawals.append((live.ledger.call, offset + 1, action.at))
            elif isinstance(action, Refuse):
                raise UnusableError(action.reason, action.message)

    def _after_end(self, said: CallRecord) -> None:
        if isinstance(said.body, Started):
            raise UnusableError(Reason.CALL_ID_REUSED, "this call id was used before: give each call an id of its own")
        if isinstance(said.body, Audio):
            # Who was on which channel is forgotten with the call, and its row is closed: it counts here alone.
            lasted = said.body.duration_ms * said.body.channels
            self._metrics.count("audio_ms", lasted, role=Role.MIXED, fate=Fate.AFTER_END)
        elif isinstance(said.body, Consent) and said.body.granted:
            self._metrics.count("grants_refused")

    def _pass_time(self, part: _Partition, batch: Batch) -> None:
        """End turns and calls for which nothing came: by the log's time, at the partition's end by the clock."""
        now = _log_time(batch)
        if now is not None:
            for live in part.calls.values():
                live.idle(now)

    async def _hear(self, part: _Partition) -> None:
        """Work off what was admitted: one record of every call a round, all their audio in one batch."""
        while busy := [live for live in part.calls.values() if live.queue]:
            items = [(live, live.queue.popleft()) for live in busy]
            windows = [
                (_window(live, spoken), item.next_offset - 1)
                for live, item in items
                for action in item.actions
                if isinstance(action, Break)
                for spoken in live.listening.stop(action.at_ms)
            ]
            windows += await self._listen(items)
            for live, item in items:
                live.passed(item)
            await self._send(windows)
            # Only now: a checkpoint must not pass a window that the broker does not have.
            await self._save(part, [live for live, item in items if item.opens])

    async def _send(self, windows: Sequence[tuple[Window, int]]) -> None:
        if not windows:
            return
        await self._sender.send([encode_window(window, offset) for window, offset in windows])
        self._metrics.count("windows", len(windows))
        for window, _ in windows:
            self._metrics.observe("window_seconds", (self._clock() - window.spoken_at).total_seconds())

    async def _listen(self, items: Sequence[tuple[Live, Item]]) -> list[tuple[Window, int]]:
        """The windows that are now certain, each with the offset of the chunk by which it is."""
        chunks = [
            (live, (live.listening, action, item.next_offset - 1))
            for live, item in items
            for action in item.actions
            if isinstance(action, Listen)
        ]
        if not chunks:
            return []
        spoken = await asyncio.to_thread(hear, self._activity, [chunk for _, chunk in chunks], self._telling)
        pairs = zip(chunks, spoken, strict=True)
        return [(_window(live, window), offset) for (live, (_, _, offset)), windows in pairs for window in windows]

    async def _checkpoint(self, part: _Partition) -> None:
        now = time.monotonic()
        if now - part.saved_at >= self._interval_s:
            part.saved_at = now
            await self._save(part, part.calls.values())
            self._show()

    async def _save(self, part: _Partition, lives: Iterable[Live]) -> None:
        due = [live for live in lives if live.due]
        if not due:
            return
        with self._metrics.timed("commit_seconds"):
            gone = await self._store.save([live.checkpoint(part.number) for live in due])
        self._metrics.count("checkpoints", len(due))
        for call in gone:
            part.calls.pop(call)  # withdrawn or erased elsewhere: nothing more of it is heard
        for live in due:
            if live.ledger.call in gone:
                continue
            live.saved = live.points[0].audio_offset
            self._count_audio(live)
            if live.points[0].ledger.ended_at is not None:
                part.calls.pop(live.ledger.call)
                self._metrics.count("calls", event="idle" if live.ledger.end_reason == "idle" else "ended")

    def _show(self) -> None:
        calls = [live for part in self._partitions.values() for live in part.calls.values()]
        began = [at for live in calls if (at := live.listening.turn_at) is not None]
        stand = Counter(standing(live.ledger.permission, live.ledger.last_at) for live in calls)
        for each in Standing:
            self._metrics.set("open_calls", stand[each], consent=each)
        self._metrics.set("oldest_open_turn_seconds", (self._clock() - min(began)).total_seconds() if began else 0)

    def _count_audio(self, live: Live) -> None:
        """Add to the counters what the checkpoint knows more than the one before it."""
        for (role, fate), ms in live.uncounted().items():
            self._metrics.count("audio_ms", ms, role=role, fate=fate)

    def _names(self, call_id: str) -> list[str]:
        return [pseudonym(epoch, call_id) for epoch in self._epochs]

    def named(self, record: Fetched) -> str | None:
        """The pseudonym that a dead letter may carry."""
        try:
            epoch = epoch_at(self._epochs, logged_at(record))
        except UnusableError:
            return None
        return pseudonym(epoch, record.key.decode(errors="replace")) if epoch and record.key else None


def _log_time(batch: Batch) -> datetime | None:
    """How far the log's time had come with this batch."""
    if not batch.records:
        return batch.caught_up and batch.caught_up - CLOCK_MARGIN
    try:
        return logged_at(batch.records[-1])
    except UnusableError:
        return None


def is_withdrawal(record: Fetched) -> bool:
    """Whether the record takes back `emotion.alerting`: such a record must never be passed over."""
    if raw_headers(record).get("ce_type") != CONSENT.encode():
        return False
    try:
        body = decode_call(record).body
    except UnusableError:
        return False
    return isinstance(body, Consent) and fold.withdraws(body)


def _window(live: Live, spoken: Spoken) -> Window:
    ledger = live.ledger
    return Window(
        id=window_id(ledger.call, spoken.role, spoken.start_ms),
        call=ledger.call,
        use_case=ledger.use_case,
        role=spoken.role,
        start_ms=spoken.start_ms,
        end_ms=spoken.end_ms,
        consent_seq=spoken.consent_seq,
        spoken_at=spoken.spoken_at,
        rate=spoken.rate,
        data=encode(Encoding.L16, spoken.samples[np.newaxis]),
        closing_ms=spoken.closing_ms,
    )
