"""Leaving groups out: what the heads say of speakers or conversations that they have never heard, with intervals."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from services.emotion.calibration import Sigmoid, probabilities
from services.emotion.heads import Heads, decisions
from services.emotion.manifest import Score
from services.training.calibrate import calibration, ece, ece_if_perfect
from services.training.harmonise import NONE
from services.training.machines import Targets, Vectors, fit
from services.training.measures import Counts, confusion, macro_f1, uar
from streams.domain.schemes import Scheme

Groups = NDArray[np.str_]  #: (windows,) the conversation of each, else its speaker
Rows = dict[str, NDArray[np.float64]]  #: head -> (windows, classes)
Tick = Callable[[], None]  #: called once a fitted fold

#: (windows,) which may be learnt from -> (windows, values) of all of them, by the hidden layer that suits these
Described = Callable[[NDArray[np.bool_]], Vectors]

FOLDS = 10  #: groups are left out one by one up to this many, else in as many parts
NETWORK_FOLDS = 5  #: as FOLDS, of networks, which cost far more: the paper's
RESAMPLES = 2_000
SEED = 20261123


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What was said of every window by machines, scaler and calibration that never met its group."""

    decisions: Rows
    probabilities: Rows  #: rows that are no numbers where the other groups had too few windows of a class


def folds(groups: Groups, parts: int = FOLDS) -> Iterator[NDArray[np.bool_]]:
    """(windows,) masks of what is left out together: each group once, whole."""
    split = GroupKFold(min(parts, len(np.unique(groups))))
    for _, left_out in split.split(groups, groups=groups):
        mask = np.zeros(len(groups), np.bool_)
        mask[left_out] = True
        yield mask


def held_out(scheme: Scheme, vectors: Vectors, wanted: Targets, groups: Groups, tick: Tick) -> Rows:
    """Head -> (windows, classes): decision values of machines that never heard the window's group."""
    found = _empty(scheme, len(vectors))
    for test in folds(groups):
        heads = fit(scheme, vectors[~test], {head: classes[~test] for head, classes in wanted.items()})
        for head, scores in decisions(heads, vectors[test]).items():
            found[head][test] = scores
        tick()
    return found


def calibrated(scheme: Scheme, described: Described, wanted: Targets, groups: Groups, tick: Tick) -> HeldOut:
    """What is said of unheard groups, described as their training folds choose and calibrated inside them."""
    found = HeldOut(_empty(scheme, len(groups)), _empty(scheme, len(groups)))
    for test in folds(groups):
        vectors = described(~test)
        heads, sigmoids = fit_calibrated(
            scheme, vectors[~test], {head: classes[~test] for head, classes in wanted.items()}, groups[~test], tick
        )
        scores = decisions(heads, vectors[test])
        for rows, kept in ((scores, found.decisions), (probabilities(sigmoids, scores), found.probabilities)):
            for head, row in rows.items():
                kept[head][test] = row
    return found


def fit_calibrated(
    scheme: Scheme, vectors: Vectors, wanted: Targets, groups: Groups, tick: Tick
) -> tuple[Heads, dict[str, tuple[Sigmoid, ...]]]:
    """Machines on all of it, and sigmoids fitted on scores that leave groups out."""
    scores = held_out(scheme, vectors, wanted, groups, tick)
    return fit(scheme, vectors, wanted), calibration(scores, wanted)


def _empty(scheme: Scheme, windows: int) -> Rows:
    return {head: np.full((windows, len(classes)), np.nan) for head, classes in scheme.heads().items()}


def scored(found: HeldOut, wanted: Targets, groups: Groups, tick: Tick = lambda: None) -> dict[str, dict[str, Score]]:
    """Head -> measure -> figure with its 95 % interval, groups resampled; `ece` only of heads that have probabilities.

    `ece_if_perfect` is what a model that is right exactly as often as it says would show on as many windows.
    """
    scores = {}
    for head, rows in found.decisions.items():
        known = wanted[head] != NONE
        scores[head] = _scored(rows[known], found.probabilities[head][known], wanted[head][known], groups[known])
        tick()
    return scores


def _scored(
    decided: NDArray[np.float64], rows: NDArray[np.float64], wanted: Counts, groups: Groups
) -> dict[str, Score]:
    classes, size = decided.argmax(axis=1), decided.shape[1]
    tables = np.stack([confusion(wanted[at], classes[at], size) for at in _by_group(groups)])  # (groups, true, said)
    measures = {"uar": _interval(tables, uar), "macro_f1": _interval(tables, macro_f1)}
    return measures | _certainty(rows, classes, wanted, groups)


def _certainty(rows: NDArray[np.float64], classes: Counts, wanted: Counts, groups: Groups) -> dict[str, Score]:
    given = np.isfinite(rows).all(axis=1)
    if not given.any():
        return {}
    certainty, right = rows[np.arange(len(rows)), classes][given], (classes == wanted)[given]
    places = _by_group(groups[given])
    samples = (np.concatenate([places[index] for index in draw]) for draw in _draws(len(places)))
    perfect = ece_if_perfect(certainty, draws=RESAMPLES, seed=SEED)
    return {
        "ece": _score(ece(certainty, right), [ece(certainty[at], right[at]) for at in samples]),
        "ece_if_perfect": _score(float(perfect.mean()), perfect.tolist()),
    }


def _by_group(groups: Groups) -> list[NDArray[np.int64]]:
    return [np.flatnonzero(groups == group) for group in np.unique(groups)]


def _draws(groups: int) -> NDArray[np.int64]:
    """(RESAMPLES, groups): which groups each resample holds; the same for every measure."""
    return np.random.default_rng(SEED).integers(groups, size=(RESAMPLES, groups))


def _interval(tables: Counts, measure: Callable[[Counts], NDArray[np.float64]]) -> Score:
    values = [float(measure(tables[draw].sum(axis=0))) for draw in _draws(len(tables))]
    return _score(float(measure(tables.sum(axis=0))), values)


def _score(value: float, values: list[float]) -> Score:
    low, high = np.percentile(values, [2.5, 97.5])
    return Score(round(value, 4), round(float(low), 4), round(float(high), 4))
