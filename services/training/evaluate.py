"""Leaving one speaker out: what the heads say of voices that they have never heard, with intervals."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from services.emotion.bundle import Score
from services.emotion.heads import Heads, decisions, probabilities
from services.training.machines import Targets, Vectors, fit, sharpness
from services.training.measures import Counts, confusion, macro_f1, uar
from streams.domain.schemes import Scheme

Speakers = NDArray[np.str_]
Rows = dict[str, NDArray[np.float64]]  #: head -> (windows, classes)
Tick = Callable[[], None]  #: called once a fitted fold

RESAMPLES = 2_000
SEED = 20261123
BINS = 10


def held_out(scheme: Scheme, vectors: Vectors, wanted: Targets, speakers: Speakers, tick: Tick) -> Rows:
    """Head -> (windows, classes): decision values of machines that never heard the window's speaker."""
    found = {head: np.zeros((len(vectors), len(classes))) for head, classes in scheme.heads().items()}
    for speaker in np.unique(speakers):
        test = speakers == speaker
        heads = fit(scheme, vectors[~test], {head: classes[~test] for head, classes in wanted.items()})
        for head, scores in decisions(heads, vectors[test]).items():
            found[head][test] = scores
        tick()
    return found


def calibrated(scheme: Scheme, vectors: Vectors, wanted: Targets, speakers: Speakers, tick: Tick) -> Rows:
    """Head -> (windows, classes): probabilities for unheard speakers, calibrated inside their training folds."""
    found = {head: np.zeros((len(vectors), len(classes))) for head, classes in scheme.heads().items()}
    for speaker in np.unique(speakers):
        test = speakers == speaker
        heads = fit_calibrated(
            scheme, vectors[~test], {head: classes[~test] for head, classes in wanted.items()}, speakers[~test], tick
        )
        for head, rows in probabilities(heads, decisions(heads, vectors[test])).items():
            found[head][test] = rows
    return found


def fit_calibrated(scheme: Scheme, vectors: Vectors, wanted: Targets, speakers: Speakers, tick: Tick) -> Heads:
    """Machines on all of it, their sharpness from scores that leave one speaker out."""
    scores = held_out(scheme, vectors, wanted, speakers, tick)
    return replace(fit(scheme, vectors, wanted), sharpness=sharpness(scores, wanted))


def scored(rows: Mapping[str, NDArray[np.float64]], wanted: Targets, speakers: Speakers) -> dict[str, dict[str, Score]]:
    """Head -> measure -> figure with its 95 % interval, speakers resampled."""
    return {head: _measures(rows[head], wanted[head], speakers) for head in wanted}


def _measures(rows: NDArray[np.float64], wanted: NDArray[np.int64], speakers: Speakers) -> dict[str, Score]:
    said, size = rows.argmax(axis=1), rows.shape[1]
    tables = np.stack([confusion(wanted[at], said[at], size) for at in _by_speaker(speakers)])  # (speakers, true, said)
    measures = {"uar": _interval(tables, uar), "macro_f1": _interval(tables, macro_f1)}
    return measures | {"ece": _ece_interval(rows, wanted, speakers)}


def _by_speaker(speakers: Speakers) -> list[NDArray[np.int64]]:
    return [np.flatnonzero(speakers == speaker) for speaker in np.unique(speakers)]


def _draws(speakers: int) -> NDArray[np.int64]:
    """(RESAMPLES, speakers): which speakers each resample holds; the same for every measure."""
    return np.random.default_rng(SEED).integers(speakers, size=(RESAMPLES, speakers))


def _interval(tables: Counts, measure: Callable[[Counts], NDArray[np.float64]]) -> Score:
    values = [float(measure(tables[draw].sum(axis=0))) for draw in _draws(len(tables))]
    return _score(float(measure(tables.sum(axis=0))), values)


def _ece_interval(rows: NDArray[np.float64], wanted: NDArray[np.int64], speakers: Speakers) -> Score:
    groups = _by_speaker(speakers)
    samples = (np.concatenate([groups[index] for index in draw]) for draw in _draws(len(groups)))
    return _score(ece(rows, wanted), [ece(rows[at], wanted[at]) for at in samples])


def _score(value: float, values: list[float]) -> Score:
    low, high = np.percentile(values, [2.5, 97.5])
    return Score(round(value, 4), round(float(low), 4), round(float(high), 4))


def ece(rows: NDArray[np.float64], wanted: NDArray[np.int64]) -> float:
    """Expected calibration error of the likeliest class over ten bins of equal mass."""
    certainty, right = rows.max(axis=1), rows.argmax(axis=1) == wanted
    order = np.argsort(certainty, kind="stable")
    gaps = [abs(certainty[at].mean() - right[at].mean()) * len(at) for at in np.array_split(order, BINS) if len(at)]
    return float(sum(gaps) / len(rows))
