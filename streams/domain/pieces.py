"""The speech of one channel in pieces: long enough to tell a voice from, short enough to be one speaker's.

A piece ends after 1.28 s, or with a pause of 0.32 s, whichever comes first; shorter pauses stay inside.

    frames   SSSSSSSSSSSSSSSSSSSS--SSSSSSS----------SSSSSSSS-----
    pieces   |--- 1.28 s ---||----------|           |------|
                              ^ joined to the one before      ^ pause
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from streams.domain.overlap import FRAME_MS

#: The only setting of how late a speaker is told: two pieces, for a piece waits for the next one, and a pause.
LATENCY_MS = 2_880
PAUSE_MS = 320  #: a speaker is thought to go on over shorter pauses
PIECE_MS = (LATENCY_MS - PAUSE_MS) // 2


@dataclass(frozen=True, slots=True)
class Piece:
    """Speech from `start_ms` to `end_ms` of media time; `joined`: no pause lies between it and the piece before it.

    Nor does a change of speaker, where that is known. `announced`: some of it is an announcement, so that whose the
    rest is cannot be told.
    """

    start_ms: int
    end_ms: int
    joined: bool
    announced: bool = False


@dataclass(frozen=True, slots=True)
class Cutter:
    """The state: where the open piece began (None: nobody speaks) and where speech last ended."""

    start_ms: int | None = None
    joined: bool = False
    spoken_ms: int | None = None
    announced: bool = False


def step(
    cutter: Cutter, *, speaks: bool, start_ms: int, end_ms: int, announced: bool = False
) -> tuple[Cutter, Piece | None]:
    """Take in one frame; give back the piece that it ends. What is announced is spoken, if by nobody."""
    opened, joined, spoken_ms = cutter.start_ms, cutter.joined, cutter.spoken_ms
    if speaks or announced:
        if opened is None:
            opened, joined = start_ms, spoken_ms is not None and start_ms - spoken_ms < PAUSE_MS
        spoken_ms = end_ms
    if opened is None or spoken_ms is None:
        return Cutter(spoken_ms=spoken_ms), None
    announced = announced or cutter.announced
    if end_ms - opened >= PIECE_MS or end_ms - spoken_ms >= PAUSE_MS:
        return Cutter(spoken_ms=spoken_ms), Piece(opened, spoken_ms, joined, announced)
    return Cutter(opened, joined, spoken_ms, announced), None


def paused(cutter: Cutter, at_ms: int) -> bool:
    """Whether the next piece cannot be joined to the last one any more; it may have begun."""
    if cutter.start_ms is not None:
        return not cutter.joined
    return cutter.spoken_ms is not None and at_ms - cutter.spoken_ms >= PAUSE_MS


def divide(piece: Piece, speaking: Sequence[int]) -> tuple[list[Piece], list[int]]:
    """Cut a piece where another speaker begins, and around overlap; the frames (start, ms) that are overlap.

    `speaking` has a number for each frame up to the piece's end, with a bit for each who speaks, and goes back beyond
    the piece's start. What is announced stays whole: its voices are nobody's.
    """
    count = (piece.end_ms - piece.start_ms) // FRAME_MS
    if piece.announced:
        return [piece], []
    parts, overlaps, open_ = list[Piece](), list[int](), False
    last = _last(speaking[-count - PAUSE_MS // FRAME_MS : -count]) if piece.joined else 0
    joined = piece.joined
    for start_ms, who in zip(range(piece.start_ms, piece.end_ms, FRAME_MS), speaking[-count:], strict=True):
        changes = who.bit_count() > 1 or bool(who and last and who != last)
        joined, open_ = joined and not changes, open_ and not changes
        last = who or last
        if who.bit_count() > 1:
            overlaps.append(start_ms)
        elif open_:
            parts[-1] = replace(parts[-1], end_ms=start_ms + FRAME_MS)
        else:
            parts.append(Piece(start_ms, start_ms + FRAME_MS, joined))
            joined, open_ = False, True
    return parts, overlaps


def _last(speaking: Sequence[int]) -> int:
    """Who spoke last, 0 where nobody did."""
    return next((who for who in reversed(speaking) if who), 0)
