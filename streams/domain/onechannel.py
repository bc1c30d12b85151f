"""Two people on one channel: frames wait until it is told whose they are, then the customer's become windows.

frames   CCCCCCCCCCCCCCCC-----AAAAAAAACCCCCCCC----      C customer, A agent, - silence
pieces   |------||------|     |------||------|
told     customer customer     agent   nobody           beside the agent's, without a pause: not certain
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from streams.domain import pieces, windows
from streams.domain.overlap import Heard, Kind
from streams.domain.pieces import Cutter, Piece
from streams.domain.roles import CERTAIN, Certainty, Likeness, OneChannel, Who, margin, who
from streams.domain.voices import Memory
from streams.domain.windows import Fate, Span, Turn

_FATES = {Who.AGENT: Fate.AGENT, Who.NOBODY: Fate.UNKNOWN_ROLE}


@dataclass(frozen=True, slots=True)
class Judged:
    """A piece of speech and how like the two voices it is; None: too short to tell."""

    piece: Piece
    likeness: Likeness | None


@dataclass(frozen=True, slots=True)
class Mono:
    """The state over one channel. `waiting` holds the frames that are nobody's yet, at most 2.9 s of them."""

    told: OneChannel
    memory: Memory = field(default_factory=Memory)
    cutter: Cutter = field(default_factory=Cutter)
    waiting: tuple[Heard, ...] = ()
    cut: tuple[Piece, ...] = ()  #: not judged
    judged: tuple[Judged, ...] = ()  #: not decided
    last: Judged | None = None  #: the last that was decided
    last_who: Who = Who.NOBODY
    turn: Turn | None = None
    scored: tuple[Judged, ...] = ()  #: the open turn's


def hear(mono: Mono, frames: Iterable[Heard]) -> Mono:
    """Take in frames that follow each other; the pieces in `cut` are then to be judged, in order."""
    cutter, cut, waiting = mono.cutter, list(mono.cut), [*mono.waiting]
    for frame in frames:
        speaks, announced = frame.kind[0] is Kind.SPEECH, frame.kind[0] is Kind.NOT_SPEECH
        times = {"start_ms": frame.start_ms, "end_ms": frame.end_ms}
        cutter, piece = pieces.step(cutter, speaks=speaks, announced=announced, **times)
        waiting.append(frame)
        if piece is not None:
            cut.append(piece)
    return replace(mono, cutter=cutter, cut=tuple(cut), waiting=tuple(waiting))


def divide(mono: Mono, speaking: Sequence[Sequence[int]]) -> Mono:
    """Cut the pieces again where `speaking`, of each what `pieces.divide` takes, says that a speaker begins.

    Overlap is in no piece: it ends the customer's turn, and is nobody's.
    """
    divided = [pieces.divide(piece, who) for piece, who in zip(mono.cut, speaking, strict=True)]
    both = {start_ms for _, overlaps in divided for start_ms in overlaps}
    waiting = tuple(_overlapped(frame) if frame.start_ms in both else frame for frame in mono.waiting)
    return replace(mono, cut=tuple(part for parts, _ in divided for part in parts), waiting=waiting)


def tell(mono: Mono, memory: Memory, likenesses: Sequence[Likeness | None]) -> tuple[Mono, tuple[Span, ...]]:
    """Take in the judgement of every piece that was cut; give back the spans whose fate is now certain."""
    fresh = [Judged(piece, likeness) for piece, likeness in zip(mono.cut, likenesses, strict=True)]
    judged, telling = deque((*mono.judged, *fresh)), _Telling(mono)
    while judged:
        after = judged[1] if len(judged) > 1 else None
        if after is None and not _run_is_over(mono):
            break
        telling.decide(judged.popleft(), after)
    telling.pass_silence(judged[0].piece.start_ms if judged else mono.cutter.start_ms)
    return replace(telling.state(mono), memory=memory, cut=(), judged=tuple(judged)), tuple(telling.spans)


def finish(mono: Mono) -> tuple[Mono, tuple[Span, ...]]:
    """The run of audio is over: what is undecided is nobody's. What the voices are like stays."""
    telling, speech = _Telling(mono), [*(each.piece for each in mono.judged), *mono.cut]
    if mono.cutter.start_ms is not None and mono.cutter.spoken_ms is not None:
        speech.append(Piece(mono.cutter.start_ms, mono.cutter.spoken_ms, mono.cutter.joined))
    for piece in speech:
        telling.refuse(piece)
    telling.pass_silence(None)
    telling.end_turn()
    return Mono(mono.told, mono.memory), tuple(telling.spans)


def needs_from(mono: Mono) -> int | None:
    """Media time (ms) from which audio is still needed; None where nothing is open."""
    turn = [mono.turn.start_ms] if mono.turn is not None else []
    return min([*turn, *(frame.start_ms for frame in mono.waiting[:1])], default=None)


def _overlapped(frame: Heard) -> Heard:
    return replace(frame, kind=(Kind.OVERLAP,)) if frame.kind[0] is Kind.SPEECH else frame


def _run_is_over(mono: Mono) -> bool:
    return bool(mono.waiting) and pieces.paused(mono.cutter, mono.waiting[-1].end_ms)


class _Telling:
    """Frames as they are given to somebody; lives for as many as are told at once."""

    def __init__(self, mono: Mono, needed: Certainty = CERTAIN) -> None:
        self._told, self._needed = mono.told, needed
        self._waiting, self._last, self._who = deque(mono.waiting), mono.last, mono.last_who
        self._turn, self._scored = mono.turn, list(mono.scored)
        self.spans: list[Span] = []

    def state(self, mono: Mono) -> Mono:
        begins = self._turn.start_ms if self._turn is not None else None
        scored = tuple(each for each in self._scored if begins is not None and each.piece.end_ms > begins)
        return replace(
            mono,
            waiting=tuple(self._waiting),
            last=self._last,
            last_who=self._who,
            turn=self._turn,
            scored=scored,
        )

    def decide(self, judged: Judged, after: Judged | None) -> None:
        """Tell whose the piece is and give it its frames."""
        self.pass_silence(judged.piece.start_ms)
        self._who = self._whose(judged, after)
        self._last = judged
        if self._who is Who.CUSTOMER:
            self._scored.append(judged)
        self._give_until(judged.piece.end_ms)

    def refuse(self, piece: Piece) -> None:
        """The piece is nobody's: a break came before it could be told, even where it follows the customer's words."""
        self.pass_silence(piece.start_ms)
        self._who = Who.NOBODY
        self._give_until(piece.end_ms)

    def pass_silence(self, until_ms: int | None) -> None:
        """Nobody speaks by himself in the frames before `until_ms`; in none that waits, where it is None."""
        while self._waiting and (until_ms is None or self._waiting[0].start_ms < until_ms):
            frame = self._waiting.popleft()
            self._fold(frame if frame.kind[0] is Kind.OVERLAP else replace(frame, kind=(Kind.SILENCE,)))

    def end_turn(self) -> None:
        self._enter(windows.finish(self._turn))
        self._turn = None

    def _whose(self, judged: Judged, after: Judged | None) -> Who:
        # An announcement is known a second after it begins: the piece before it may be its beginning.
        if judged.piece.announced or (after is not None and after.piece.joined and after.piece.announced):
            return Who.NOBODY
        if judged.likeness is None:  # a word: the rest of what came right before it, or nobody's
            return self._who if judged.piece.joined and self._who is Who.CUSTOMER else Who.NOBODY
        before = [self._last.likeness] if judged.piece.joined and self._last is not None else []
        behind = [after.likeness] if after is not None and after.piece.joined else []
        return who(judged.likeness, (*before, *behind), self._told, self._needed)

    def _give_until(self, end_ms: int) -> None:
        while self._waiting and self._waiting[0].start_ms < end_ms:
            self._give(self._waiting.popleft())

    def _give(self, frame: Heard) -> None:
        if self._who is Who.CUSTOMER or frame.kind[0] is not Kind.SPEECH:
            self._fold(frame)
        else:
            self.end_turn()
            self.spans.append(Span(frame.start_ms, frame.end_ms, _FATES[self._who]))

    def _fold(self, frame: Heard) -> None:
        times = {"start_ms": frame.start_ms, "end_ms": frame.end_ms}
        self._turn, spans = windows.step(self._turn, frame.kind[0], energy=frame.energy[0], **times)
        self._enter(spans)

    def _enter(self, spans: Iterable[Span]) -> None:
        self.spans += [self._checked(span) for span in spans]

    def _checked(self, span: Span) -> Span:
        """A window is the customer's as a whole, or nobody's."""
        if span.fate is not Fate.WINDOW:
            return span
        margins = [
            margin(each.likeness, self._told)
            for each in self._scored
            if each.likeness is not None and each.piece.start_ms < span.end_ms and span.start_ms < each.piece.end_ms
        ]
        sure = bool(margins) and sum(margins) >= self._needed.window * len(margins)
        return span if sure else replace(span, fate=Fate.UNKNOWN_ROLE)
