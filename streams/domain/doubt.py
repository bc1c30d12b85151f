"""Whether the channels are those that `started` declared: where they are not, nothing of the call is scored.

Two things can be seen without knowing a voice: that both channels hold the same sound, and, where the use case says who
speaks first on its calls, that somebody else did. Both are certain before a window can end: no window comes before.
"""

from dataclasses import dataclass, replace

from streams.domain.overlap import FRAME_MS, Heard, Kind
from streams.domain.records import Role

FIRST_MS = 800  #: speech while nobody else speaks that makes whoever spoke it the first; a "hello?" is shorter
_ALIKE = 31  #: frames (a second) of one sound on both channels before they are taken for one
_RARE = 10  #: times as many frames alike as unlike
_CLOSE = 16  #: two energies are alike that differ by less than a sixteenth

_SOUNDS = frozenset((Kind.SPEECH, Kind.OVERLAP))


@dataclass(frozen=True, slots=True)
class Doubt:
    """What speaks against the declared roles so far; `first` is who speaks first on calls of the use case, if known."""

    first: Role | None = None
    alone_ms: tuple[int, ...] = ()  #: speech by channel while the other is silent, until someone was first
    alike: int = 0  #: frames in which both sound, and alike
    unlike: int = 0
    refused: bool = False


def step(doubt: Doubt, roles: tuple[Role, ...], heard: Heard) -> Doubt:
    """Take in a resolved frame of both channels."""
    if doubt.refused or len(roles) < 2:
        return doubt
    if _SOUNDS.issuperset(heard.kind):
        return _compare(doubt, heard)
    if doubt.first is None or max(doubt.alone_ms, default=0) >= FIRST_MS:
        return doubt
    alone = doubt.alone_ms or (0,) * len(roles)
    spoken = tuple([ms + FRAME_MS * (kind is Kind.SPEECH) for ms, kind in zip(alone, heard.kind, strict=True)])
    other = any(ms >= FIRST_MS and role is not doubt.first for ms, role in zip(spoken, roles, strict=True))
    return replace(doubt, alone_ms=spoken, refused=other)


def _compare(doubt: Doubt, heard: Heard) -> Doubt:
    one, other = heard.energy
    if abs(one - other) * _CLOSE >= one:
        return replace(doubt, unlike=doubt.unlike + 1)
    alike = doubt.alike + 1
    return replace(doubt, alike=alike, refused=alike >= _ALIKE and alike >= _RARE * doubt.unlike)
