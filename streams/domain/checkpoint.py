"""The checkpoint rule: a call's state from before the first chunk that an open turn still needs.

A point holds no audio. To go on from it, chunks from `audio_offset` are decoded again: those below `offset` only refill
the few milliseconds before the next frame, those from `offset` on are folded.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from streams.domain.call import Ledger
from streams.domain.hearing import Hearing, needs_from

SPACING_MS = 500  #: points closer than this, in media time and the log's, add memory and save nothing


@dataclass(frozen=True, slots=True)
class Point:
    """The state of a call before the record at `offset`; `activity` is the voice-activity state of each channel."""

    ledger: Ledger
    hearing: Hearing
    activity: tuple[bytes, ...]
    offset: int
    audio_offset: int
    turn_at: datetime | None = None  #: the log's time at which the oldest open turn began
    echo: bytes = b""  #: what is known of the way from either channel into the other
    prints: bytes = b""  #: of the last second of the customer's channel, by which announcements are known


def remember(points: tuple[Point, ...], point: Point) -> tuple[Point, ...]:
    """Add the point that was just passed, and drop all that no open turn can need any more."""
    needed = needs_from(point.hearing)
    if needed is None:
        return (point,)
    if not points or _far(point, points[-1]):
        points = (*points, point)
    late_enough = [index for index, kept in enumerate(points) if kept.hearing.heard_ms <= needed]
    return points[late_enough[-1] :] if late_enough else points


def _far(point: Point, last: Point) -> bool:
    spacing = timedelta(milliseconds=SPACING_MS)
    return (
        point.hearing.heard_ms - last.hearing.heard_ms >= SPACING_MS
        or point.ledger.last_at - last.ledger.last_at >= spacing
    )
