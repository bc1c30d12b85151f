"""The speech of one channel in pieces: long enough to tell a voice from, short enough to be one speaker's.

A piece ends after 1.28 s, or with a pause of 0.32 s, whichever comes first; shorter pauses stay inside.

    frames   SSSSSSSSSSSSSSSSSSSS--SSSSSSS----------SSSSSSSS-----
    pieces   |--- 1.28 s ---||----------|           |------|
                              ^ joined to the one before      ^ pause
"""

from dataclasses import dataclass

#: The only setting of how late a speaker is told: two pieces, for a piece waits for the next one, and a pause.
LATENCY_MS = 2_880
PAUSE_MS = 320  #: a speaker is thought to go on over shorter pauses
PIECE_MS = (LATENCY_MS - PAUSE_MS) // 2


@dataclass(frozen=True, slots=True)
class Piece:
    """Speech from `start_ms` to `end_ms` of media time; `joined`: no pause lies between it and the piece before it.

    `announced`: some of it is an announcement, so that whose the rest is cannot be told.
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
    """Whether the next piece cannot be joined to the last one any more."""
    return cutter.start_ms is None and cutter.spoken_ms is not None and at_ms - cutter.spoken_ms >= PAUSE_MS
