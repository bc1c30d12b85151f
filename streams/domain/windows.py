"""The window rule: a speaker's resolved frames become turns, and turns windows of 2.5 to 20 s.

A turn ends when its speaker has been silent for 0.5 s; shorter pauses stay inside. Overlap ends it at once, 0.3 s of
another voice that leaks in, or of what is no speech, as well (a pause until then). From 8 s a
window may be cut at the first pause of 0.2 s, at 12 s at the quietest frame since 8 s; a cut stands only once 2.5 s of
the turn follow it, else the rest stays in the window. So a window is shorter than 12 + 2.5 + 0.5 s, and nothing but
turns under 2.5 s is lost.

    frames   SSSSSSSS-SSSSSSSSSSSS--SSSSSSSS----------SSS----------
    spans    |------- window ------||window|- silence |s|- silence     s: short
                      cut here ----^
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from streams.domain.overlap import OVERLAP_MS, Kind

MIN_WINDOW_MS = 2_500
MAX_WINDOW_MS = 20_000  #: exclusive
TURN_SILENCE_MS = 500
CUT_FROM_MS = 8_000
CUT_PAUSE_MS = 200
CUT_AT_MS = 12_000


class Fate(StrEnum):
    """What became of a millisecond of one channel: a closed list, every millisecond has one."""

    WINDOW = "window"
    AGENT = "agent"
    UNKNOWN_ROLE = "unknown_role"  #: mixed, swapped or uncertain
    LEAK = "leak"  #: the other channel's voice
    SILENCE = "silence"
    NOT_SPEECH = "not_speech"
    SHORT = "short"  #: a turn under 2.5 s
    OVERLAP = "overlap"
    GAP = "gap"
    NO_CONSENT = "no_consent"
    LATE = "late"
    DUPLICATE = "duplicate"
    AFTER_END = "after_end"
    DEAD = "dead"


_FOREIGN = {Kind.LEAK: Fate.LEAK, Kind.NOT_SPEECH: Fate.NOT_SPEECH}  #: sounds that are not the speaker's voice


@dataclass(frozen=True, slots=True)
class Span:
    """Media time of one channel that shares a fate."""

    start_ms: int
    end_ms: int
    fate: Fate


@dataclass(frozen=True, slots=True)
class Turn:
    """The part of an open turn that is in no window yet. Times in ms of media time."""

    start_ms: int
    spoken_ms: int  #: end of the last speech
    heard_ms: int  #: end of the last frame
    cut_ms: int | None = None  #: where the window will end if 2.5 s of the turn follow
    quiet_ms: int | None = None  #: end of the quietest frame since 8 s
    quiet_energy: int = 0
    foreign: Fate | None = None  #: what the last frames hold instead of the speaker's voice
    foreign_ms: int = 0  #: start of it


def step(
    turn: Turn | None, kind: Kind, *, start_ms: int, end_ms: int, energy: int
) -> tuple[Turn | None, tuple[Span, ...]]:
    """Take in one resolved frame of the speaker; give back the spans whose fate is now certain."""
    if kind is Kind.OVERLAP:
        return None, (*finish(turn), Span(start_ms, end_ms, Fate.OVERLAP))
    if turn is None:
        if kind is Kind.SPEECH:
            return Turn(start_ms, end_ms, end_ms), ()
        return None, (Span(start_ms, end_ms, _FOREIGN.get(kind, Fate.SILENCE)),)
    spoken_ms = end_ms if kind is Kind.SPEECH else turn.spoken_ms
    before, heard = turn, Turn(turn.start_ms, spoken_ms, end_ms, turn.cut_ms, turn.quiet_ms, turn.quiet_energy)
    turn = _quietest(heard, start_ms, energy)
    if kind is Kind.SPEECH:
        return _cut(_at_latest(turn))
    turn = _foreign(turn, before, kind, start_ms)
    if end_ms - turn.spoken_ms >= TURN_SILENCE_MS or (turn.foreign and end_ms - turn.foreign_ms >= OVERLAP_MS):
        return None, finish(turn)
    return _at_latest(_at_pause(turn)), ()


def void(turn: Turn | None) -> tuple[Span, ...]:
    """The open turn turns out to be nobody's."""
    return () if turn is None else (Span(turn.start_ms, turn.heard_ms, Fate.UNKNOWN_ROLE),)


def finish(turn: Turn | None) -> tuple[Span, ...]:
    """The turn is over: its rest, and the silence after it."""
    if turn is None:
        return ()
    spoken = turn.spoken_ms - turn.start_ms
    rest = Span(turn.start_ms, turn.spoken_ms, Fate.WINDOW if spoken >= MIN_WINDOW_MS else Fate.SHORT)
    foreign_ms = turn.foreign_ms if turn.foreign else turn.heard_ms
    pause, foreign = (turn.spoken_ms, foreign_ms, Fate.SILENCE), (foreign_ms, turn.heard_ms, turn.foreign)
    after = [Span(start, end, fate) for start, end, fate in (pause, foreign) if fate and start < end]
    return rest, *after


def lay(lane: list[Span], spans: Iterable[Span]) -> None:
    """Put what comes next on a channel into its lane; what goes on is one span, but each window stays by itself."""
    for span in spans:
        last = lane[-1] if lane else None
        if last is not None and last.fate is span.fate is not Fate.WINDOW and last.end_ms == span.start_ms:
            lane[-1] = Span(last.start_ms, span.end_ms, span.fate)
        elif span.start_ms < span.end_ms:
            lane.append(span)


def _foreign(turn: Turn, before: Turn, kind: Kind, start_ms: int) -> Turn:
    fate = _FOREIGN.get(kind)
    if fate is None:
        return turn
    return replace(turn, foreign=fate, foreign_ms=before.foreign_ms if before.foreign is fate else start_ms)


def closing_ms(window_ms: int) -> int:
    """The most media time that the rule waits after the end of a window so long before it is certain of it.

    The silence that ends a turn; from 8 s on it may have been a cut, which stands once it was due and enough follows.
    """
    if window_ms < CUT_FROM_MS:
        return TURN_SILENCE_MS
    return max(CUT_AT_MS - window_ms, MIN_WINDOW_MS) + TURN_SILENCE_MS


def _quietest(turn: Turn, start_ms: int, energy: int) -> Turn:
    if start_ms - turn.start_ms < CUT_FROM_MS or (turn.quiet_ms is not None and energy >= turn.quiet_energy):
        return turn
    return replace(turn, quiet_ms=turn.heard_ms, quiet_energy=energy)


def _at_pause(turn: Turn) -> Turn:
    long_enough = turn.heard_ms - turn.start_ms >= CUT_FROM_MS
    paused = turn.heard_ms - turn.spoken_ms >= CUT_PAUSE_MS
    return replace(turn, cut_ms=turn.heard_ms) if turn.cut_ms is None and long_enough and paused else turn


def _at_latest(turn: Turn) -> Turn:
    due = turn.cut_ms is None and turn.heard_ms - turn.start_ms >= CUT_AT_MS
    return replace(turn, cut_ms=turn.quiet_ms) if due else turn


def _cut(turn: Turn) -> tuple[Turn, tuple[Span, ...]]:
    if turn.cut_ms is None or turn.spoken_ms - turn.cut_ms < MIN_WINDOW_MS:
        return turn, ()
    rest = Turn(turn.cut_ms, turn.spoken_ms, turn.heard_ms)
    return rest, (Span(turn.start_ms, turn.cut_ms, Fate.WINDOW),)
