"""What is heard of a call: frames of all its channels become the customer's windows, and every millisecond a fate."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from streams.domain import doubt, onechannel, overlap, windows
from streams.domain.doubt import Doubt
from streams.domain.onechannel import Mono
from streams.domain.overlap import Floor, Frame, Heard, Kind
from streams.domain.records import Role
from streams.domain.roles import Likeness, OneChannel
from streams.domain.voices import Memory
from streams.domain.windows import Fate, Span, Turn

Fates = Mapping[Fate, int]  #: milliseconds by fate
Lanes = Sequence[list[Span]]  #: of each channel, what lies on it so far: for a picture; a stream keeps sums alone

_AGENT = {
    Kind.SPEECH: Fate.AGENT,
    Kind.SILENCE: Fate.SILENCE,
    Kind.OVERLAP: Fate.OVERLAP,
    Kind.LEAK: Fate.LEAK,
    Kind.NOT_SPEECH: Fate.NOT_SPEECH,
}


@dataclass(frozen=True, slots=True)
class Cut:
    """A window's place in the call: the customer's, from `start_ms` to `end_ms`, allowed by record `consent_seq`.

    It was certain `closing_ms` of media time after its end.
    """

    channel: int
    start_ms: int
    end_ms: int
    consent_seq: int
    closing_ms: int


@dataclass(frozen=True, slots=True)
class Hearing:
    """The state over one call. `consent_seq` is None between runs of audio that may be heard."""

    roles: tuple[Role, ...]
    floor: Floor
    turns: tuple[Turn | None, ...]  #: the open turn of each channel; the agent's are never kept
    fates: tuple[Fates, ...]
    heard_ms: int = 0  #: end of the last whole frame
    consent_seq: int | None = None
    doubt: Doubt = field(default_factory=Doubt)
    mono: Mono | None = None  #: where two people are told apart on one channel


def silent(roles: tuple[Role, ...], told: OneChannel | None = None) -> Hearing:
    """Nothing heard yet; `told` says how who is who is told on a call's only channel."""
    mono = None if told is None else Mono(told)
    return Hearing(roles, overlap.silent(len(roles)), (None,) * len(roles), ({},) * len(roles), mono=mono)


def expecting(hearing: Hearing, first: Role | None) -> Hearing:
    """The same call, of a use case that says who speaks first."""
    return replace(hearing, doubt=Doubt(first))


def resume(hearing: Hearing, *, at_ms: int, consent_seq: int) -> Hearing:
    """A run of audio begins at `at_ms`; frames are counted from there."""
    return replace(hearing, heard_ms=at_ms, consent_seq=consent_seq)


def step(hearing: Hearing, frame: Frame) -> tuple[Hearing, tuple[Cut, ...]]:
    """Take in one frame of every channel; give back the windows that are now certain."""
    return steps(hearing, (frame,))


def steps(hearing: Hearing, frames: Iterable[Frame], lanes: Lanes | None = None) -> tuple[Hearing, tuple[Cut, ...]]:
    """Take in frames that follow each other: the same as one by one, in one go. Spans are laid down in `lanes`."""
    floor, heard_ms = hearing.floor, hearing.heard_ms
    resolved: list[Heard] = []
    for frame in frames:
        floor, more = overlap.step(floor, frame)
        heard_ms = frame.end_ms
        resolved += more
    if hearing.mono is not None:
        mono = onechannel.hear(hearing.mono, resolved)
        return replace(hearing, floor=floor, heard_ms=heard_ms, mono=mono), ()
    return _take(replace(hearing, floor=floor, heard_ms=heard_ms), resolved, lanes)


def finish(hearing: Hearing, end_ms: int, lanes: Lanes | None = None) -> tuple[Hearing, tuple[Cut, ...]]:
    """The run of audio ends at `end_ms` (gap, end of call, idle, no consent): every turn is over."""
    if hearing.consent_seq is None:
        return hearing, ()
    resolved = overlap.finish(hearing.floor, end_ms, hearing.heard_ms)
    if hearing.mono is not None:
        mono, spans = onechannel.finish(onechannel.hear(hearing.mono, resolved))
        book = _Book(hearing, lanes)
        book.enter(0, spans, end_ms)
        return replace(silent(hearing.roles), fates=book.fates(), heard_ms=end_ms, mono=mono), tuple(book.cuts)
    hearing, cuts = _take(hearing, resolved, lanes)
    book = _Book(hearing, lanes)
    for channel, turn in enumerate(hearing.turns):
        book.enter(channel, windows.finish(turn), end_ms)
    after = silent(hearing.roles)
    return replace(after, fates=book.fates(), heard_ms=end_ms, doubt=hearing.doubt), (*cuts, *book.cuts)


def divide(hearing: Hearing, speaking: Sequence[Sequence[int]]) -> Hearing:
    """Take in who speaks when in the pieces that were just cut (`mono.cut`), before their voices are compared."""
    return hearing if hearing.mono is None else replace(hearing, mono=onechannel.divide(hearing.mono, speaking))


def tell(
    hearing: Hearing, memory: Memory, likenesses: Sequence[Likeness | None], lanes: Lanes | None = None
) -> tuple[Hearing, tuple[Cut, ...]]:
    """Take in how like the two voices on a call's only channel its pieces are that were just cut (`mono.cut`)."""
    if hearing.mono is None:
        return hearing, ()
    book = _Book(hearing, lanes)
    mono, spans = onechannel.tell(hearing.mono, memory, likenesses)
    book.enter(0, spans, hearing.heard_ms)
    return replace(hearing, mono=mono, fates=book.fates()), tuple(book.cuts)


def needs_from(hearing: Hearing) -> int | None:
    """Media time (ms) from which audio is still needed for an open turn; None where none is open."""
    if hearing.mono is not None:
        return onechannel.needs_from(hearing.mono)
    starts = [turn.start_ms for turn in hearing.turns if turn is not None]
    if Role.CUSTOMER in hearing.roles:
        starts += [heard.start_ms for heard in hearing.floor.pending[:1]]
    return min(starts, default=None)


class _Book:
    """Fates and windows as they are entered; lives for as many frames as are taken in at once."""

    def __init__(self, hearing: Hearing, lanes: Lanes | None) -> None:
        self._consent_seq, self._lanes = hearing.consent_seq, lanes
        self._fates = [dict(fates) for fates in hearing.fates]
        self.cuts: list[Cut] = []

    def enter(self, channel: int, spans: tuple[Span, ...], now_ms: int) -> None:
        fates = self._fates[channel]
        for span in spans:
            fates[span.fate] = fates.get(span.fate, 0) + span.end_ms - span.start_ms
            if span.fate is Fate.WINDOW and self._consent_seq is not None:
                closing_ms = now_ms - span.end_ms
                self.cuts.append(Cut(channel, span.start_ms, span.end_ms, self._consent_seq, closing_ms))
        if self._lanes is not None:
            windows.lay(self._lanes[channel], spans)

    def fates(self) -> tuple[Fates, ...]:
        return tuple(self._fates)


def _take(hearing: Hearing, resolved: Iterable[Heard], lanes: Lanes | None) -> tuple[Hearing, tuple[Cut, ...]]:
    book, turns, doubted = _Book(hearing, lanes), list(hearing.turns), hearing.doubt
    for heard in resolved:
        before, doubted = doubted, doubt.step(doubted, hearing.roles, heard)
        if doubted.refused and not before.refused:
            for channel, turn in enumerate(turns):
                book.enter(channel, windows.void(turn), heard.end_ms)
            turns = [None] * len(turns)
        for channel, role in enumerate(hearing.roles):
            whose = Role.MIXED if doubted.refused else role
            turns[channel], spans = _frame(whose, turns[channel], heard, channel)
            book.enter(channel, spans, heard.end_ms)
    return replace(hearing, turns=tuple(turns), fates=book.fates(), doubt=doubted), tuple(book.cuts)


def _frame(role: Role, turn: Turn | None, heard: Heard, channel: int) -> tuple[Turn | None, tuple[Span, ...]]:
    kind = heard.kind[channel]
    if role is Role.CUSTOMER:
        return windows.step(turn, kind, start_ms=heard.start_ms, end_ms=heard.end_ms, energy=heard.energy[channel])
    fate = Fate.UNKNOWN_ROLE if role is Role.MIXED else _AGENT[kind]
    return None, (Span(heard.start_ms, heard.end_ms, fate),)
