"""Who speaks in each frame: hysteresis over voice activity, then overlap, over both channels of a call.

customer  ----SSSSSSSSSS----        S speech, - silence
agent     ----------SSSSSSSSSS--
resolved  ----SSSSSSOOOOSSSSSS--    O both: removed where it lasts 0.3 s or more, else kept
"""

from dataclasses import dataclass, replace
from enum import StrEnum

FRAME_MS = 32  #: voice activity looks at frames of this length
ONSET, OFFSET = 0.5, 0.35  #: Silero's own thresholds: speech begins at the first, ends under the second
OVERLAP_MS = 300  #: both speaking for this long is overlap

#: Energy of a frame that must never count as the quietest.
LOUD = 1 << 62


class Kind(StrEnum):
    """What one channel holds in a frame."""

    SPEECH = "speech"
    SILENCE = "silence"
    OVERLAP = "overlap"
    LEAK = "leak"  #: the other channel's voice
    NOT_SPEECH = "not_speech"  #: a sound that is nobody's voice


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of every channel: speech probability and energy (sum of squared samples) each.

    `instead` says what a channel holds where it is not its speaker's voice: LEAK or NOT_SPEECH.
    """

    start_ms: int
    end_ms: int
    probability: tuple[float, ...]
    energy: tuple[int, ...]
    instead: tuple[Kind | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Heard:
    """One frame of every channel, resolved."""

    start_ms: int
    end_ms: int
    kind: tuple[Kind, ...]
    energy: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Floor:
    """Who has the floor: `speaking` by channel; frames in which all speak wait in `pending` until they are judged."""

    speaking: tuple[bool, ...]
    pending: tuple[Heard, ...] = ()
    overlapping: bool = False
    instead: tuple[Kind | None, ...] = ()  #: of the last frame


#: Not by attribute: looking a member of an enumeration up takes longer than the rest of a frame.
_KINDS = {True: Kind.SPEECH, False: Kind.SILENCE}
_SPEECH, _LEAK = Kind.SPEECH, Kind.LEAK


def silent(channels: int) -> Floor:
    """Nobody speaks yet."""
    return Floor(speaking=(False,) * channels)


def step(floor: Floor, frame: Frame) -> tuple[Floor, tuple[Heard, ...]]:
    """Take in a frame; give back those that are now certain, in order (at most 0.3 s late)."""
    speaking = tuple(
        [
            probability >= (OFFSET if before else ONSET)
            for probability, before in zip(frame.probability, floor.speaking, strict=True)
        ]
    )
    return _resolve(Floor(speaking, floor.pending, floor.overlapping, frame.instead), frame)


def finish(floor: Floor, end_ms: int, heard_ms: int) -> tuple[Heard, ...]:
    """The frames still waiting, and the rest of under a frame up to `end_ms`, as whoever spoke before it."""
    out: tuple[Heard, ...] = ()
    if heard_ms < end_ms:
        channels = len(floor.speaking)
        rest = Frame(heard_ms, end_ms, tuple(map(float, floor.speaking)), (LOUD,) * channels, floor.instead)
        floor, out = _resolve(floor, rest)
    return out + floor.pending


def _resolve(floor: Floor, frame: Frame) -> tuple[Floor, tuple[Heard, ...]]:
    kinds = _kinds(floor)
    heard = Heard(frame.start_ms, frame.end_ms, kinds, frame.energy)
    if len(kinds) < 2 or kinds.count(_SPEECH) < len(kinds):
        return Floor(floor.speaking, instead=floor.instead), (*floor.pending, heard)
    if floor.overlapping:
        return floor, (_overlap(heard),)
    run = (*floor.pending, heard)
    if heard.end_ms - run[0].start_ms < OVERLAP_MS:
        return replace(floor, pending=run), ()
    return replace(floor, pending=(), overlapping=True), tuple(map(_overlap, run))


def _kinds(floor: Floor) -> tuple[Kind, ...]:
    kinds = tuple([_KINDS[speaks] for speaks in floor.speaking])
    if not any(floor.instead):
        return kinds
    # A voice that leaks is told from noise by voice activity; what is not speech says so itself.
    pairs = zip(kinds, floor.instead, strict=True)
    return tuple(
        [kind if found is None or (found is _LEAK and kind is not _SPEECH) else found for kind, found in pairs]
    )


def _overlap(heard: Heard) -> Heard:
    return replace(heard, kind=(Kind.OVERLAP,) * len(heard.kind))
