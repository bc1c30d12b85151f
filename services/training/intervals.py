"""95 % intervals by the bootstrap, and paired differences.

Segments, conversations or speakers are drawn with replacement from the pooled held-out decisions; what is drawn is
said with every figure. A whole conversation or speaker is drawn with all its segments, and the segments within it
are not drawn again (Davison and Hinkley 1997, section 3.8).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from services.emotion.manifest import Score
from services.training.corpora.corpus import Segment

Counts = NDArray[np.int64]
Values = NDArray[np.float64]
Measure = Callable[[NDArray[np.number]], Values]  #: of (..., true class, said class)

RESAMPLES = 2_000
LEVEL = 95  #: percent
SEED = 20261127
_BLOCK = 50  #: resamples that are summed at once


class Unit(StrEnum):
    """What is drawn."""

    SEGMENT = "segment"
    CONVERSATION = "conversation"
    SPEAKER = "speaker"


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one figure from another on the same resamples; `p` is two-sided."""

    value: float
    low: float
    high: float
    p: float


def units(segments: Sequence[Segment], unit: Unit) -> Counts:
    """(segments,): a number from 0 on for what each is drawn with."""
    if unit is Unit.SEGMENT:
        return np.arange(len(segments))
    return np.unique([getattr(segment, unit.value) for segment in segments], return_inverse=True)[1]


def tables(wanted: Counts, said: Counts, size: int, unit: Counts) -> Counts:
    """(units, size, size): the confusion table of each unit's segments; wanted, said and unit are (segments,)."""
    cells = (unit * size + wanted) * size + said
    return np.bincount(cells, minlength=(int(unit.max()) + 1) * size * size).reshape(-1, size, size)


def draws(count: int, *, resamples: int = RESAMPLES, seed: int = SEED) -> Iterator[Counts]:
    """Blocks of (some resamples, count): how often each unit is in a resample. The same for the same count and seed."""
    random = np.random.default_rng(seed)
    for start in range(0, resamples, _BLOCK):
        drawn = random.integers(count, size=(min(_BLOCK, resamples - start), count))
        yield np.stack([np.bincount(row, minlength=count) for row in drawn])


def resampled(measure: Measure, each: Counts, drawn: Iterator[Counts]) -> Values:
    """(resamples, ...): the measure of the sums of (units, ..., true, said) over each resample's units."""
    flat = each.reshape(len(each), -1).astype(np.float64)  # whole numbers far below 2**53: the sums are exact
    sums = ((weights @ flat).reshape(-1, *each.shape[1:]) for weights in drawn)
    return np.concatenate([measure(some) for some in sums])


def interval(value: float, values: Values) -> Score:
    """A figure with the middle 95 % of its resamples."""
    low, high = np.percentile(values, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return Score(value, float(low), float(high))


def difference(value: float, values: Values) -> Difference:
    """A difference, given those of resamples that both sides share.

    p is twice the share of resamples on the other side of no difference, and never 0: more resamples could be there.
    """
    around = interval(value, values)
    beyond = min(int((values <= 0).sum()), int((values >= 0).sum()))
    return Difference(value, around.low, around.high, min(1.0, 2 * (beyond + 1) / (len(values) + 1)))


def overlap(first: Score, second: Score) -> bool:
    """Whether two intervals share a point: what makes a figure bold beside the best in the paper's tables."""
    return bool(first.low <= second.high and second.low <= first.high)
