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
from services.training.copies import Versions, learnt
from services.training.harmonise import NONE
from services.training.intervals import RESAMPLES, SEED, Counts, Values, draws, interval, resampled, tables
from services.training.machines import Targets, fit
from services.training.measures import macro_f1, uar
from streams.domain.schemes import Scheme

Groups = NDArray[np.str_]  #: (windows,) the conversation of each, else its speaker
Rows = dict[str, NDArray[np.float64]]  #: head -> (windows, classes)
Tick = Callable[[], None]  #: called once a fitted fold

#: (windows,) which may be learnt from -> the versions of all of them, by the hidden layer that suits these
Described = Callable[[NDArray[np.bool_]], Versions]

FOLDS = 10  #: groups are left out one by one up to this many, else in as many parts
NETWORK_FOLDS = 5  #: as FOLDS, of networks, which cost far more: the paper's
MEASURES = {"uar": uar, "macro_f1": macro_f1}


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


def held_out(scheme: Scheme, versions: Versions, wanted: Targets, groups: Groups, tick: Tick) -> Rows:
    """Head -> (windows, classes): decision values of machines that never heard the window's group, nor its copies."""
    found = _empty(scheme, len(versions))
    for test in folds(groups):
        heads = _fit(scheme, versions[~test], {head: classes[~test] for head, classes in wanted.items()})
        for head, scores in decisions(heads, versions[test, 0]).items():
            found[head][test] = scores
        tick()
    return found


def calibrated(scheme: Scheme, described: Described, wanted: Targets, groups: Groups, tick: Tick) -> HeldOut:
    """What is said of unheard groups, described as their training folds choose and calibrated inside them."""
    found = HeldOut(_empty(scheme, len(groups)), _empty(scheme, len(groups)))
    for test in folds(groups):
        versions = described(~test)
        heads, sigmoids = fit_calibrated(
            scheme, versions[~test], {head: classes[~test] for head, classes in wanted.items()}, groups[~test], tick
        )
        scores = decisions(heads, versions[test, 0])
        for rows, kept in ((scores, found.decisions), (probabilities(sigmoids, scores), found.probabilities)):
            for head, row in rows.items():
                kept[head][test] = row
    return found


def fit_calibrated(
    scheme: Scheme, versions: Versions, wanted: Targets, groups: Groups, tick: Tick
) -> tuple[Heads, dict[str, tuple[Sigmoid, ...]]]:
    """Machines on every version of every window, and sigmoids fitted on scores of windows whose groups are left out."""
    scores = held_out(scheme, versions, wanted, groups, tick)
    return _fit(scheme, versions, wanted), calibration(scores, wanted)


def _fit(scheme: Scheme, versions: Versions, wanted: Targets) -> Heads:
    return fit(scheme, *learnt(versions, wanted))


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


def _scored(decided: Values, rows: Values, wanted: Counts, groups: Groups) -> dict[str, Score]:
    classes, unit = decided.argmax(axis=1), np.unique(groups, return_inverse=True)[1]
    each = tables(wanted, classes, decided.shape[1], unit)
    drawn = list(_draws(len(each)))
    measures = {
        name: _rounded(float(measure(each.sum(axis=0))), resampled(measure, each, iter(drawn)))
        for name, measure in MEASURES.items()
    }
    return measures | _certainty(rows, classes, wanted, unit)


def _certainty(rows: Values, classes: Counts, wanted: Counts, unit: Counts) -> dict[str, Score]:
    given = np.isfinite(rows).all(axis=1)
    if not given.any():
        return {}
    certainty, right = rows[np.arange(len(rows)), classes][given], (classes == wanted)[given]
    unit = np.unique(unit[given], return_inverse=True)[1]
    drawn = (weights for block in _draws(int(unit.max()) + 1) for weights in block)
    samples = (np.repeat(np.arange(len(unit)), weights[unit]) for weights in drawn)
    perfect = ece_if_perfect(certainty, draws=RESAMPLES, seed=SEED)
    return {
        "ece": _rounded(ece(certainty, right), np.array([ece(certainty[at], right[at]) for at in samples])),
        "ece_if_perfect": _rounded(float(perfect.mean()), perfect),
    }


def _draws(groups: int) -> Iterator[Counts]:
    return draws(groups, resamples=RESAMPLES)


def _rounded(value: float, values: Values) -> Score:
    found = interval(value, values)
    return Score(round(found.value, 4), round(found.low, 4), round(found.high, 4))
