"""How the customer's emotion evolves over a call: one fold over its labels, in whatever order they come.

A window is read as the paper's second evaluator read it (section 3.3): the binary category model says whether it is
emotional, the full valence and arousal models how strongly negative it is. Where a call counts as emotional and its
trend as steady is chosen here, not in the paper.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from math import fsum
from types import MappingProxyType
from typing import NamedTuple

from streams.domain.records import Label, Outcome
from streams.domain.rules import said, shares
from streams.domain.schemes import Dimension, Scheme

EMOTIONAL_PERCENT = 33  #: of the judged speech, from which on a call is generally emotional
STEADY_PERCENT = 20  #: points between the first and the last third, up to which the share of negative is steady
STRONGEST = 1000

#: What the annotators' raw labels and the usual names of classes mean; see `meaning`.
VALENCE = MappingProxyType({"very negative": -2, "negative": -1, "neutral": 0, "positive": 1, "very positive": 2})
AROUSAL = MappingProxyType({"neutral": 0, "slightly excited": 1, "excited": 2, "very excited": 3})

_VALENCE, _AROUSAL = "valence.full", "arousal.full"


class Overall(StrEnum):
    """What a call is like as a whole."""

    NEUTRAL = "neutral"
    EMOTIONAL = "emotional"
    UNCLEAR = "unclear"  #: no window was judged


class Trend(StrEnum):
    """How negative the end is beside the beginning."""

    BETTER = "better"
    STEADY = "steady"
    WORSE = "worse"
    UNCLEAR = "unclear"  #: nothing was judged in the first third or in the last


@dataclass(frozen=True, slots=True)
class Meaning:
    """How a scheme's classes are read."""

    head: str  #: the one that says whether a window is emotional
    neutral: frozenset[str]  #: its classes that are not
    negative: Mapping[str, float]  #: negative class of `valence.full` -> 1 for the most negative, less for the others
    excited: Mapping[str, float]  #: the same for `arousal.full`


class Reading(NamedTuple):
    """What one window says of the call; as small as can be, for a call keeps all of them."""

    start_ms: int
    end_ms: int
    judged: bool
    emotional: bool
    negative: bool
    strength: int  #: of a negative emotion, up to STRONGEST; 0 where the binary category model does not confirm it


@dataclass(frozen=True, slots=True)
class State:
    """The readings so far by `start_ms`, one a window."""

    readings: tuple[Reading, ...] = ()


@dataclass(frozen=True, slots=True)
class Third:
    """One third of the call: how much speech was judged in it, and how much of that is emotional and negative."""

    start_ms: int
    end_ms: int
    judged_ms: int
    emotional_ms: int
    negative_ms: int


@dataclass(frozen=True, slots=True)
class Evolution:
    """A call as a whole. Its thirds are of the media time up to the end of the customer's last window."""

    windows: int
    judged: int  #: of these; the models abstained at the others or failed
    thirds: tuple[Third, Third, Third]
    strongest_ms: int | None  #: where the strongest negative window begins, the first of equals; None: there is none
    strength: int  #: of that window, up to STRONGEST
    trend: Trend
    overall: Overall


def meaning(scheme: Scheme) -> Meaning | None:
    """How the classes of a scheme are read; None where it does not tell what is neutral, negative and excited.

    A class of valence or arousal means what its name, else all raw labels merged in it, mean in the annotators' menu.
    """
    known = scheme.dimensions
    if not {"category", "valence", "arousal"} <= known.keys():
        return None
    head, neutral = _neutral(known["category"])
    negative = _weights(known["valence"], VALENCE, sign=-1)
    excited = _weights(known["arousal"], AROUSAL, sign=1)
    return Meaning(head, neutral, negative, excited) if neutral and negative and excited else None


def step(state: State, label: Label, means: Meaning) -> State:
    """Take in one window of the call; what was read of it first stands."""
    at = bisect_left(state.readings, label.start_ms, key=lambda reading: reading.start_ms)
    if at < len(state.readings) and state.readings[at].start_ms == label.start_ms:
        return state
    return State((*state.readings[:at], _read(label, means), *state.readings[at:]))


def finish(state: State) -> Evolution:
    """What the windows so far come to."""
    readings = state.readings
    thirds = _thirds(readings)
    strongest = max(readings, key=lambda reading: reading.strength, default=None)
    strength = strongest.strength if strongest else 0
    return Evolution(
        windows=len(readings),
        judged=sum(reading.judged for reading in readings),
        thirds=thirds,
        strongest_ms=strongest.start_ms if strongest and strength else None,
        strength=strength,
        trend=_trend(thirds[0], thirds[2]),
        overall=_overall(thirds),
    )


def evolution(labels: Iterable[Label], means: Meaning) -> Evolution:
    """Fold all labels of one call."""
    return finish(fold(State(), labels, means))


def fold(state: State, labels: Iterable[Label], means: Meaning) -> State:
    """Take in some windows of the call."""
    for label in labels:
        state = step(state, label, means)
    return state


def _neutral(category: Dimension) -> tuple[str, frozenset[str]]:
    """The head that tells emotional from neutral, and its classes that are neutral."""
    if not category.binary:
        return "category.full", frozenset({category.neutral} & category.classes.keys())
    return "category.binary", frozenset(name for name, held in category.binary.items() if category.neutral in held)


def _weights(dimension: Dimension, menu: Mapping[str, int], *, sign: int) -> dict[str, float]:
    """The classes on one side of neutral, by how far they are out: 1 for those furthest out."""
    degrees = {name: sign * _degree(name, raw, menu) for name, raw in dimension.classes.items()}
    furthest = max(degrees.values())
    return {name: degree / furthest for name, degree in degrees.items() if degree > 0}


def _degree(name: str, raw: Sequence[str], menu: Mapping[str, int]) -> int:
    """How far from neutral a class is: by its name, else by the mildest of its raw labels; 0 where they say nothing."""
    return menu.get(name, min((menu.get(label, 0) for label in raw), key=abs, default=0))


def _read(label: Label, means: Meaning) -> Reading:
    classes = said(label)
    # Labels of an older scheme may lack a head: to this one they say nothing.
    if label.outcome is not Outcome.LABELLED or not {means.head, _VALENCE, _AROUSAL} <= classes.keys():
        return Reading(label.start_ms, label.end_ms, judged=False, emotional=False, negative=False, strength=0)
    emotional, negative = classes[means.head] not in means.neutral, classes[_VALENCE] in means.negative
    strength = _strength(label, means) if emotional and negative else 0
    return Reading(label.start_ms, label.end_ms, judged=True, emotional=emotional, negative=negative, strength=strength)


def _strength(label: Label, means: Meaning) -> int:
    """How negative times how excited the window is expected to be."""
    negative, excited = _expected(label, _VALENCE, means.negative), _expected(label, _AROUSAL, means.excited)
    return round(STRONGEST * negative * excited)


def _expected(label: Label, head: str, weights: Mapping[str, float]) -> float:
    """The mean weight of the head's classes."""
    likely = shares(label, head)
    # fsum, as stores lose the order of the classes.
    return fsum(likely.get(name, 0.0) * weight for name, weight in weights.items())


def _thirds(readings: Sequence[Reading]) -> tuple[Third, Third, Third]:
    end_ms = max((reading.end_ms for reading in readings), default=0)
    edges = [end_ms * part // 3 for part in range(4)]
    judged = [reading for reading in readings if reading.judged]
    first, middle, last = (_third(judged, *span) for span in pairwise(edges))
    return first, middle, last


def _third(judged: Sequence[Reading], start_ms: int, end_ms: int) -> Third:
    inside = [(max(0, min(each.end_ms, end_ms) - max(each.start_ms, start_ms)), each) for each in judged]
    return Third(
        start_ms=start_ms,
        end_ms=end_ms,
        judged_ms=sum(ms for ms, _ in inside),
        emotional_ms=sum(ms for ms, reading in inside if reading.emotional),
        negative_ms=sum(ms for ms, reading in inside if reading.negative),
    )


def _trend(first: Third, last: Third) -> Trend:
    scale = first.judged_ms * last.judged_ms
    if not scale:
        return Trend.UNCLEAR
    # Both shares times `scale`, so that no float decides.
    rise = 100 * (last.negative_ms * first.judged_ms - first.negative_ms * last.judged_ms)
    if abs(rise) <= STEADY_PERCENT * scale:
        return Trend.STEADY
    return Trend.WORSE if rise > 0 else Trend.BETTER


def _overall(thirds: Sequence[Third]) -> Overall:
    judged, emotional = sum(third.judged_ms for third in thirds), sum(third.emotional_ms for third in thirds)
    if not judged:
        return Overall.UNCLEAR
    return Overall.EMOTIONAL if 100 * emotional >= EMOTIONAL_PERCENT * judged else Overall.NEUTRAL
