"""What is remembered of the voices on one channel: vectors of a bounded number of pieces, no audio.

It is part of the call's state and dies with it. `streams/speech/speakers.py` computes what is in it.
"""

from dataclasses import dataclass, field

REMEMBERED = 64  #: pieces


@dataclass(frozen=True, slots=True)
class Voices:
    """Two voices: `means` of both (float32, little-endian), the first is that which spoke first."""

    means: bytes = field(repr=False)
    pieces: tuple[float, float]
    spread: float  #: mean squared distance of a piece from its voice, a dimension
    separation: float
    opening: float  #: where the opening lies between the voices: 1 at the first, -1 at the other
    settled: bool  #: whether the opening was clear once: the voices keep their order from then on


@dataclass(frozen=True, slots=True)
class Memory:
    """Vectors of pieces, a `bytes` each, oldest first; those of the run of speech that is still open in `run`."""

    vectors: tuple[bytes, ...] = field(default=(), repr=False)
    joined: tuple[bool, ...] = ()
    run: tuple[bytes, ...] = field(default=(), repr=False)
    voices: Voices | None = None
    space: str = ""  #: of which `Voiceprints` the vectors are: those of others are like none of them
