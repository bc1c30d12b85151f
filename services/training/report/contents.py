"""All that a report says, gathered before any of it is written."""

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from services.emotion.manifest import Score
from services.training.corpora.corpus import SEXES
from services.training.experiment import Data, Done
from services.training.intervals import Difference
from services.training.report import figures
from services.training.report.judgements import Judgement, compared, is_across, judgements, of_some
from services.training.report.tables import Table, best, columns_of, in_column, learnt, table
from services.training.results import NO_FEATURE

LIBRARIES = ("undertone", "numpy", "scikit-learn")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of two systems on the same segments and the same draws."""

    head: str
    what: str
    first: str
    second: str
    found: Difference


@dataclass(frozen=True, slots=True)
class OfSex:
    """The best system's figure for the segments of one sex."""

    head: str
    system: str
    band: str
    sex: str
    segments: int
    score: Score


@dataclass(frozen=True, slots=True)
class Calibration:
    """The best system's calibration error, and what it would be were every probability right."""

    head: str
    system: str
    band: str
    segments: int
    error: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class About:
    """What a data set is."""

    name: str
    scheme: str
    segments: int
    hours: float
    conversations: int
    speakers: int
    split: str
    folds: int
    set_aside: int  #: segments that a fold neither learnt from nor judged, summed over the folds
    classes: Mapping[str, Mapping[str, int]]  #: head -> class -> segments
    dropped: Mapping[str, Mapping[str, int]]  #: dimension -> reason -> segments
    fingerprint: str
    source: str


@dataclass(frozen=True, slots=True)
class Chapter:
    """What was found on one data set, learnt on itself or on another."""

    title: str
    across: str  #: the data set that was learnt on, where it is another
    about: About
    table: Table
    recall: Table
    comparisons: Sequence[Comparison]
    by_sex: Sequence[OfSex]
    calibrations: Sequence[Calibration]
    figures: Mapping[str, str]  #: name -> SVG


@dataclass(frozen=True, slots=True)
class Report:
    """The whole of it."""

    done: Done
    overview: Table  #: the paper's Table 3: the first head of every data set
    chapters: Sequence[Chapter]
    versions: Mapping[str, str]


def report(done: Done, tick: Callable[[], None] = lambda: None) -> Report:
    """Everything that the experiment came to."""
    judged = list(judgements(done, tick))
    pairs = list(dict.fromkeys((each.system.train, each.system.test) for each in judged))
    chapters = [_chapter(done, judged, *pair) for pair in pairs]
    columns = [columns_of(done.plan, *pair, [_first_head(judged, *pair)]) for pair in pairs]
    overview = table(judged, [column for each in columns for column in each])
    versions = {name: version(name) for name in LIBRARIES} | {"Python": platform.python_version()}
    return Report(done, overview, chapters, versions | {f"feature {name}": of for name, of in done.versions.items()})


def _first_head(judged: Sequence[Judgement], train: str, test: str) -> str:
    return next(each.head for each in judged if (each.system.train, each.system.test) == (train, test))


def _chapter(done: Done, every: Sequence[Judgement], train: str, test: str) -> Chapter:
    judged = [each for each in every if (each.system.train, each.system.test) == (train, test)]
    heads = list(dict.fromkeys(each.head for each in judged))
    made = table(judged, columns_of(done.plan, train, test, heads))
    tops = [best(found) for column in made.columns if (found := learnt(in_column(judged, column)))]
    sure = [(top, top.probabilities) for top in tops if top.probabilities is not None]
    seed = done.plan.seed
    return Chapter(
        title=test if train == test else f"{train} to {test}",
        across="" if train == test else train,
        about=_about(done.data[test]),
        table=made,
        recall=table(judged, made.columns, "uar"),
        comparisons=[*_elsewhere(judged, every), *_bands(judged), *_to_the_best(judged, made)],
        by_sex=list(_by_sex(done, tops)),
        calibrations=[
            Calibration(
                each.head,
                each.system.name,
                each.system.band,
                len(each.wanted),
                figures.calibration_error(each, rows, seed),
            )
            for each, rows in sure
        ],
        figures=_figures(done, judged, made, tops, sure),
    )


def _figures(
    done: Done,
    judged: Sequence[Judgement],
    made: Table,
    tops: Sequence[Judgement],
    sure: Sequence[tuple[Judgement, NDArray[np.float64]]],
) -> dict[str, str]:
    drawn = {"intervals": figures.svg(figures.figure_of_intervals(made))}
    for band in done.plan.bands:
        if best_of_band := [top for top in tops if top.system.band == band]:
            drawn[f"confusions {band}"] = figures.svg(figures.figure_of_confusions(best_of_band))
        certain = [(top, rows) for top, rows in sure if top.system.band == band]
        if certain:
            drawn[f"reliability {band}"] = figures.svg(figures.figure_of_reliability(certain, done.plan.seed))
    systems = {each.system for each in judged}
    curves = {
        f"{system.feature}, {system.band}": np.stack([held.layers for _, held in parts])
        for system, parts in done.held.items()
        if system in systems and parts[0][1].layers.size
    }
    return drawn | ({"layers": figures.svg(figures.figure_of_layers(curves))} if curves else {})


def _to_the_best(judged: Sequence[Judgement], made: Table) -> Iterator[Comparison]:
    """The best of each column against every other, the baselines last."""
    for column in made.columns:
        found = in_column(judged, column)
        top = best(found)
        for other in sorted(found, key=lambda each: each.system.feature == NO_FEATURE):
            if other is not top:
                names = top.system.name, other.system.name
                yield Comparison(column.head, f"{column.band}, the best", *names, compared(top, other))


def _bands(judged: Sequence[Judgement]) -> Iterator[Comparison]:
    """What the telephone costs each system."""
    for wide in judged:
        for phone in judged:
            ours, theirs = wide.system, phone.system
            alike = (ours.name, wide.head) == (theirs.name, phone.head)
            if alike and (ours.band, theirs.band) == ("wide", "telephone"):
                yield Comparison(wide.head, f"bands, {ours.name}", "wide", "telephone", compared(wide, phone))


def _elsewhere(judged: Sequence[Judgement], every: Sequence[Judgement]) -> Iterator[Comparison]:
    """What it costs to have learnt elsewhere: against the same system on the corpus's own folds."""
    for across in judged:
        for own in every if is_across(across.system) else ():
            same = own.system.test == across.system.test and own.head == across.head
            if same and not is_across(own.system) and _kind(own) == _kind(across):
                what = f"{across.system.band}, {across.system.name}"
                names = "its own folds", f"learnt on {across.system.train}"
                yield Comparison(across.head, what, *names, compared(own, across))


def _kind(judged: Judgement) -> tuple[str, str]:
    return judged.system.name, judged.system.band


def _by_sex(done: Done, tops: Sequence[Judgement]) -> Iterator[OfSex]:
    for top in tops:
        for sex, name in SEXES.items():
            found = of_some(done.plan, top, np.array([segment.sex == sex for segment in top.segments]))
            if found:
                yield OfSex(top.head, top.system.name, top.system.band, name, *found)


def _about(data: Data) -> About:
    seen, segments = data.harmonised, data.harmonised.corpus.segments
    return About(
        name=data.name,
        scheme=seen.scheme.name,
        segments=len(segments),
        hours=sum(segment.duration_ms for segment in segments) / 3_600_000,
        conversations=len({segment.conversation for segment in segments}),
        speakers=len({segment.speaker for segment in segments}),
        split=str(data.folds.split),
        folds=len(data.folds.names),
        set_aside=data.folds.set_aside,
        classes={
            head: {name: int((seen.targets[head] == at).sum()) for at, name in enumerate(classes)}
            for head, classes in seen.scheme.heads().items()
        },
        dropped={name: dict(reasons) for name, reasons in seen.dropped.items()},
        fingerprint=data.fingerprint,
        source=seen.corpus.source,
    )
