"""Platt's sigmoids fitted on decision values of windows that the machines have not seen, and how far to trust them."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from services.emotion.calibration import Sigmoid
from services.training.harmonise import NONE

Array = NDArray[np.float64]
Right = NDArray[np.bool_]

ENOUGH = 30  #: held-out windows of each class; under it a head gets no probabilities
BINS = 10
_STEPS, _SMALL, _LEAST_STEP = 100, 1e-8, 1e-10


def calibration(scores: Mapping[str, Array], wanted: Mapping[str, NDArray[np.int64]]) -> dict[str, tuple[Sigmoid, ...]]:
    """A sigmoid for each class of every head of which all classes have `ENOUGH` windows.

    `scores` are held-out decision values (windows, classes), `wanted` the true class of each window, or NONE.
    """
    found = {}
    for head, rows in scores.items():
        if enough(wanted[head], rows.shape[1]):
            known = wanted[head] != NONE
            classes = wanted[head][known]
            found[head] = tuple(platt(column, classes == index) for index, column in enumerate(rows[known].T))
    return found


def enough(wanted: NDArray[np.int64], classes: int) -> bool:
    """Whether every class has windows enough: wanted is (windows,), the true class of each, or NONE."""
    return bool(np.bincount(wanted[wanted != NONE], minlength=classes).min() >= ENOUGH)


def platt(scores: Array, is_class: Right) -> Sigmoid:
    """The sigmoid of least log loss on smoothed targets, by Newton with backtracking (Lin, Lin & Weng 2007).

    scores: (n,) decision values of one class; is_class: (n,) whether the window is of it.
    """
    many, rest = int(is_class.sum()), int((~is_class).sum())
    target = np.where(is_class, (many + 1) / (many + 2), 1 / (rest + 2))
    terms = np.stack([scores, np.ones_like(scores)])  # of slope and offset
    found = np.array([0.0, np.log((rest + 1) / (many + 1))])
    for _ in range(_STEPS):
        share = _sigmoid(found @ terms)
        gradient = terms @ (target - share)
        if np.abs(gradient).max() < _SMALL * len(scores):
            break
        curve = (terms * (share * (1 - share))) @ terms.T + 1e-12 * np.eye(2)
        direction = -np.linalg.solve(curve, gradient).astype(np.float64)
        found = _step(found, direction, gradient, terms, target)
    return Sigmoid(float(found[0]), float(found[1]))


def _sigmoid(power: Array) -> Array:
    """1 / (1 + exp(power)), without overflow."""
    small = np.exp(-np.abs(power))
    share: Array = np.where(power >= 0, small, 1) / (1 + small)
    return share


def _step(at: Array, direction: Array, gradient: Array, terms: Array, target: Array) -> Array:
    """As far along `direction` as lowers the loss enough (Armijo); where nothing does, stay."""
    before, size = _loss(at @ terms, target), 1.0
    while size >= _LEAST_STEP:
        if _loss((at + size * direction) @ terms, target) <= before + 1e-4 * size * float(gradient @ direction):
            return at + size * direction
        size /= 2
    return at


def _loss(power: Array, target: Array) -> float:
    """Log loss of 1 / (1 + exp(power)) against targets between 0 and 1."""
    return float((np.where(power >= 0, target, target - 1) * power + np.log1p(np.exp(-np.abs(power)))).sum())


def bins(certainty: Array) -> list[NDArray[np.int64]]:
    """Places of the windows, from the least to the most certain, in ten bins of equal mass; none is empty."""
    return [at for at in np.array_split(np.argsort(certainty, kind="stable"), BINS) if len(at)]


def ece(certainty: Array, right: Right) -> float:
    """Expected calibration error: how far certainty is from the share that is right, over bins of equal mass.

    certainty: (n,) probability of the class said; right: (n,) whether that was the true one.
    """
    return float(_error(certainty, right[None], bins(certainty))[0])


def ece_if_perfect(certainty: Array, *, draws: int, seed: int) -> Array:
    """(draws,) calibration errors of a model that is right exactly as often as it says, on as many windows."""
    right = np.random.default_rng(seed).random((draws, len(certainty))) < certainty
    return _error(certainty, right, bins(certainty))


def _error(certainty: Array, right: Right, places: list[NDArray[np.int64]]) -> Array:
    """(draws,) calibration errors for right (draws, n)."""
    gaps = [np.abs(certainty[at].mean() - right[:, at].mean(axis=1)) * len(at) for at in places]
    error: Array = np.sum(gaps, axis=0) / len(certainty)
    return error
