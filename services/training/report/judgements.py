"""Every system under every head: what it decided of whom, its figures, and how each figure varies with the draw."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.emotion.manifest import Score
from services.training.corpora.corpus import Segment
from services.training.experiment import Done, Job
from services.training.harmonise import NONE
from services.training.intervals import Difference, Measure, difference, draws, interval, resampled, tables, units
from services.training.measures import macro_f1, uar
from services.training.plan import Plan
from services.training.results import Held, System, pooled, pooled_probabilities

Rows = NDArray[np.int64]
Values = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Judgement:
    """One system under one head, all its folds pooled."""

    system: System
    head: str
    classes: tuple[str, ...]
    segments: tuple[Segment, ...] = field(repr=False)  #: (n,) that have a class under the head
    wanted: Rows = field(repr=False)  #: (n,)
    decisions: NDArray[np.number] = field(repr=False)  #: (trials, n, classes)
    #: (n, classes), each fold's by what its training segments tell; None where a fold had too few of a class
    probabilities: Values | None = field(repr=False)
    table: Values = field(repr=False)  #: (true, said) the mean over the trials
    f1: Score
    uar: Score
    drawn: Values = field(repr=False)  #: (resamples,) macro-F1 of each; the same draws for all systems of a head


def judgements(done: Done, tick: Callable[[], None] = lambda: None) -> Iterator[Judgement]:
    """Every system under every head, in the order of the plan."""
    for system, parts in done.held.items():
        for head in parts[0][0].heads:
            yield _judgement(done.plan, system, head, parts)
            tick()


def _judgement(plan: Plan, system: System, head: str, parts: Sequence[tuple[Job, Held]]) -> Judgement:
    data = parts[0][0].test
    every = [held for _, held in parts]
    rows, decisions = pooled(every, head)
    shares = pooled_probabilities(every, head)
    wanted = data.harmonised.targets[head][rows]
    there = wanted != NONE
    segments = tuple(data.harmonised.corpus.segments[at] for at in rows[there])
    each = _tables(plan, segments, wanted[there], decisions[:, there])
    f1, drawn = _score(plan, macro_f1, each)
    return Judgement(
        system=system,
        head=head,
        classes=data.harmonised.scheme.heads()[head],
        segments=segments,
        wanted=wanted[there],
        decisions=decisions[:, there],
        probabilities=None if shares is None else shares[there],
        table=each.sum(axis=0).mean(axis=0),
        f1=f1,
        uar=_score(plan, uar, each)[0],
        drawn=drawn,
    )


def _tables(plan: Plan, segments: Sequence[Segment], wanted: Rows, decisions: NDArray[np.number]) -> Counts:
    """(units, trials, true, said)."""
    unit, size = units(segments, plan.drawn), decisions.shape[2]
    return np.stack([tables(wanted, trial.argmax(axis=1), size, unit) for trial in decisions], axis=1)


def _score(plan: Plan, measure: Measure, each: Counts) -> tuple[Score, Values]:
    """Of (units, trials, true, said): the mean over the trials, and that of each resample."""
    drawn = draws(len(each), resamples=plan.resamples, seed=plan.seed)
    values = resampled(lambda some: measure(some).mean(axis=-1), each, drawn)
    return interval(float(measure(each.sum(axis=0)).mean()), values), values


def compared(first: Judgement, second: Judgement) -> Difference:
    """Macro-F1 of the first less that of the second, on the same segments and the same draws."""
    return difference(first.f1.value - second.f1.value, first.drawn - second.drawn)


def of_some(plan: Plan, judged: Judgement, some: NDArray[np.bool_]) -> tuple[int, Score] | None:
    """How many segments are chosen by (n,), and macro-F1 of them alone; None where there are none."""
    if not some.any():
        return None
    segments = [segment for segment, is_chosen in zip(judged.segments, some, strict=True) if is_chosen]
    each = _tables(plan, segments, judged.wanted[some], judged.decisions[:, some])
    return len(segments), _score(plan, macro_f1, each)[0]


def is_across(system: System) -> bool:
    """Whether it learnt on another corpus than it is judged on."""
    return system.train != system.test
