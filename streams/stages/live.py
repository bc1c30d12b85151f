"""One call as the segment stage holds it in memory, and what goes to Postgres of it."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import msgspec

from streams.domain import call as fold
from streams.domain.call import Action, Ledger, Listen
from streams.domain.checkpoint import Point, remember
from streams.domain.privacy import Epoch
from streams.domain.records import Audio, CallRecord, Role
from streams.ports import Call, Checkpoint, Stored
from streams.speech import listening
from streams.speech.expecting import Expecting
from streams.speech.listening import Listening
from streams.store.sealing import seal, unseal

_STATE = msgspec.msgpack.Decoder(Point)


@dataclass(frozen=True, slots=True)
class Item:
    """What a record of the call means: the ledger after it and what is left to do. `opens`: the row must be written."""

    next_offset: int
    ledger: Ledger
    actions: tuple[Action, ...]
    opens: bool = False


@dataclass(slots=True, eq=False)
class Live:
    """An open call. `ledger` has taken in every record fetched; `listening` trails it by what waits in `queue`."""

    ledger: Ledger
    listening: Listening
    epoch: Epoch
    resume_offset: int = 0  #: records below it were folded before the restart
    refilled: int = -1  #: the highest sequence among those that came again
    saved: int = 0  #: `next_offset` in Postgres
    next_offset: int = 0  #: after the last record taken in
    points: tuple[Point, ...] = ()
    queue: deque[Item] = field(default_factory=deque)
    counted: dict[tuple[Role, str], int] = field(default_factory=dict)  #: milliseconds that metrics know of
    turn_saved: datetime | None = None  #: `turn_at` in Postgres

    def idle(self, now: datetime) -> None:
        """End the turns, or the call, where nothing has come for long enough."""
        ledger, actions = fold.idle(self.ledger, now)
        if actions and (self.active or ledger.ended_at is not None):
            self.ledger = ledger
            self.queue.append(Item(self.next_offset, ledger, actions))

    def refill(self, record: CallRecord) -> None:
        """Take in again what was folded before the restart: its last milliseconds are the next frame's first."""
        if record.sequence <= self.refilled:
            return  # the fold dropped it as well
        self.refilled = record.sequence
        if isinstance(record.body, Audio) and self.listening.hearing.consent_seq is not None:
            chunk = Listen(record.media_ms, record.body, self.listening.hearing.consent_seq, record.logged_at)
            self.listening.refill(chunk, self.next_offset - 1)

    def passed(self, item: Item) -> None:
        """Keep the point after `item`, and with it what a restart would need."""
        heard, hearing = self.listening, self.listening.hearing
        offset = item.next_offset
        audio_offset = offset if hearing.consent_seq is None else heard.oldest_offset
        states = (heard.turn_at, heard.echo, heard.prints)
        point = Point(item.ledger, hearing, heard.activity, offset, audio_offset, *states)
        self.points = remember(self.points, point)

    @property
    def active(self) -> bool:
        """Whether a turn may be open, or audio waits to be heard."""
        return bool(self.queue) or self.listening.hearing.consent_seq is not None

    @property
    def due(self) -> bool:
        """Whether its checkpoint has moved on or a turn has opened since it was saved, or the call is over."""
        if not self.points:
            return False
        oldest = self.points[0]
        moved = oldest.audio_offset > self.saved or self.listening.turn_at != self.turn_saved
        return moved or oldest.ledger.ended_at is not None

    @property
    def holds_back(self) -> bool:
        """Whether records at or after its checkpoint would be lost by a commit past them."""
        return self.next_offset > self.saved

    def uncounted(self) -> dict[tuple[Role, str], int]:
        """Milliseconds by role and fate that the oldest point holds since this was last asked."""
        now = _by_role(self.points[0])
        more = {key: ms - self.counted.get(key, 0) for key, ms in now.items()}
        self.counted = now
        return {key: ms for key, ms in more.items() if ms > 0}

    def checkpoint(self, partition: int) -> Checkpoint:
        """Its oldest needed point, sealed; and when the turn began that may need it."""
        point = self.points[0]
        self.turn_saved = self.listening.turn_at
        return Checkpoint(
            call=replace(_row(point), turn_at=self.turn_saved),
            partition=partition,
            next_offset=point.audio_offset,
            state=seal(self.epoch, self.ledger.call, msgspec.msgpack.encode(point)),
            closed=point.ledger.ended_at is not None,
        )


def begin(ledger: Ledger, epoch: Epoch, expecting: Expecting) -> Live:
    """A call that just started."""
    return Live(ledger, listening.silent(ledger.channels, expecting), epoch)


def restore(stored: Stored, epochs: Sequence[Epoch]) -> Live:
    """A call as it was at its checkpoint.

    Raises SealError where its epoch's key is gone, MsgspecError where another version wrote the state.
    """
    point = _STATE.decode(unseal(epochs, stored.call, stored.state))
    epoch = next(epoch for epoch in epochs if epoch.id == point.ledger.epoch)
    return Live(
        ledger=point.ledger,
        listening=Listening(point.hearing, point.activity, point.turn_at, point.echo, point.prints),
        epoch=epoch,
        resume_offset=point.offset,
        saved=stored.next_offset,
        next_offset=stored.next_offset,
        points=(point,),
        counted=_by_role(point),
    )


def _row(point: Point) -> Call:
    ledger = point.ledger
    permission = ledger.permission
    return Call(
        call=ledger.call,
        epoch=ledger.epoch,
        use_case=ledger.use_case,
        language=ledger.language,
        channels=ledger.channels,
        started_at=ledger.started_at,
        reference=ledger.reference,
        notice=permission.notice,
        consents=permission.consents,
        consent_seq=permission.since,
        ended_at=ledger.ended_at,
        end_reason=ledger.end_reason,
        fates={f"{channel} {role}": fates for channel, (role, fates) in enumerate(_fates(point))},
    )


def _fates(point: Point) -> list[tuple[Role, dict[str, int]]]:
    """Milliseconds by fate of each channel: those all channels share and its own."""
    shared = point.ledger.fates
    return [
        (role, {fate.value: own.get(fate, 0) + shared.get(fate, 0) for fate in {*own, *shared}})
        for role, own in zip(point.hearing.roles, point.hearing.fates, strict=True)
    ]


def _by_role(point: Point) -> dict[tuple[Role, str], int]:
    return {(role, fate): ms for role, fates in _fates(point) for fate, ms in fates.items()}
