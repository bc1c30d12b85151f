"""From decision values to the class that is said and how likely each class is: Platt's sigmoid a class.

The class is always the one with the largest decision value. Platt's probabilities, brought to a sum of 1, may hold
another for likelier: that one and the class said then share what they have between them. So the class said is never
less likely than another, and a rule on classes and a rule on probabilities cannot contradict each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Classes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """How a class's decision value f becomes a probability: 1 / (1 + exp(slope f + offset)) (Platt 1999)."""

    slope: float
    offset: float


Calibration = Mapping[str, Sequence[Sigmoid]]  #: head -> a sigmoid a class; a head without one has no probabilities


def said(scores: Mapping[str, Array]) -> dict[str, Classes]:
    """Head -> (n,): index of the class with the largest decision value, for decision values (n, classes)."""
    return {head: rows.argmax(axis=1) for head, rows in scores.items()}


def probabilities(calibration: Calibration, scores: Mapping[str, Array]) -> dict[str, Array]:
    """Head -> (n, classes), rows summing to 1, of every head that is calibrated."""
    return {head: _agreeing(_platt(sigmoids, scores[head]), scores[head]) for head, sigmoids in calibration.items()}


def _platt(sigmoids: Sequence[Sigmoid], rows: Array) -> Array:
    """Each class's sigmoid, brought to a sum of 1 over the classes: (n, classes)."""
    slope, offset = (np.array([getattr(each, name) for each in sigmoids]) for name in ("slope", "offset"))
    with np.errstate(over="ignore"):  # exp's inf is a probability of 0
        alone = 1 / (1 + np.exp(slope * rows + offset))
    alone = np.maximum(alone, np.finfo(np.float64).tiny)  # all 0 would have no shares
    shares: Array = alone / alone.sum(axis=1, keepdims=True)
    return shares


def _agreeing(shares: Array, rows: Array) -> Array:
    """The nearest probabilities (least squares) of which none is over that of the class said."""
    chosen = rows.argmax(axis=1)
    for row in np.flatnonzero(shares.max(axis=1) > shares[np.arange(len(rows)), chosen]):
        shares[row] = _pooled(shares[row], int(chosen[row]))
    return shares


def _pooled(shares: Array, chosen: int) -> Array:
    """The class said and the fewest of the likeliest at their mean, so that none is over it."""
    pool = [chosen]
    for index in np.argsort(-shares, kind="stable"):
        if index != chosen and shares[index] > shares[pool].mean():
            pool.append(int(index))
    pooled = shares.copy()
    pooled[pool] = shares[pool].mean()
    return pooled
