"""Which of two voices on one channel is the customer's, and when that is certain enough to score it.

Scoring an agent is unlawful, so everything here refuses: what is not certain is nobody's.
"""

from dataclasses import dataclass
from enum import StrEnum

from streams.domain.records import Role


@dataclass(frozen=True, slots=True)
class OneChannel:
    """How a use case tells who is who where both speak on one channel."""

    first: Role  #: who speaks first: customer or agent
    after_ms: int = 0  #: an announcement's end: what is heard before it is nobody's


def check(told: OneChannel) -> None:
    """Refuse an announcement that ends before it begins. Raises ValueError."""
    if told.after_ms < 0:
        raise ValueError(f"one_channel.after_ms: {told.after_ms} is before the call; write 0, or an announcement's end")


def told_apart(channels: tuple[Role, ...], said: OneChannel | None) -> OneChannel | None:
    """How who is who is told on these channels: as the use case `said` on a mixed one by itself, else not at all."""
    return said if channels == (Role.MIXED,) else None


@dataclass(frozen=True, slots=True)
class Likeness:
    """A piece of speech beside the two voices of its call, as they were known before its run of speech began.

    `first` is the log-likelihood ratio of the voice that spoke first to the other; `distance` the squared distance to
    the nearer voice, a dimension, in the spread of the pieces heard so far. The rest says how well voices are known.
    """

    first: float
    place: float  #: between the voices: 1 at the first, -1 at the other
    distance: float
    separation: float  #: squared distance between the voices in a speaker's own standard deviations
    opening: float  #: where what the call opens with lies between the voices: 1 at the first, -1 at the other
    pieces: float  #: heard of the rarer voice


class Who(StrEnum):
    """Whose a piece of speech is."""

    CUSTOMER = "customer"
    AGENT = "agent"
    NOBODY = "nobody"  #: not certain


@dataclass(frozen=True, slots=True)
class Certainty:
    """What must hold before a piece, and a whole window, counts as the customer's."""

    separation: float
    opening: float
    pieces: float
    distance: float
    place: float  #: of a piece, and of those beside it: 1 is the customer's voice, -1 the agent's
    margin: float  #: log-likelihood ratio of a piece
    window: float  #: the same, on average over a window


#: Chosen on generated calls; the figures on others are in `ops/adr/0137-refusing-on-one-channel.md`.
CERTAIN = Certainty(separation=40, opening=0.4, pieces=6, distance=2.0, place=0.7, margin=3, window=6)


def margin(likeness: Likeness, told: OneChannel) -> float:
    """Log-likelihood ratio of the customer's voice to the agent's."""
    return _customers(likeness.first, told)


def who(
    piece: Likeness | None, neighbours: tuple[Likeness | None, ...], told: OneChannel, needed: Certainty = CERTAIN
) -> Who:
    """Whose a piece is. `neighbours` are those between which and it there is no pause; None is too short to tell."""
    if piece is None or not known(piece, needed):
        return Who.NOBODY
    if margin(piece, told) <= -needed.margin:
        return Who.AGENT
    # Where a speaker is cut off, the change lies somewhere in the pieces beside it.
    near = all(each is None or _customers(each.place, told) >= needed.place for each in (piece, *neighbours))
    sure = margin(piece, told) >= needed.margin and piece.distance <= needed.distance
    return Who.CUSTOMER if sure and near else Who.NOBODY


def _customers(first: float, told: OneChannel) -> float:
    return first if told.first is Role.CUSTOMER else -first


def known(likeness: Likeness, needed: Certainty = CERTAIN) -> bool:
    """Whether both voices are known and apart, and which of them spoke first is certain."""
    return (
        likeness.separation >= needed.separation
        and likeness.opening >= needed.opening
        and likeness.pieces >= needed.pieces
    )
