"""The paper's tables, for the corpora that an experiment is given: rows of systems, a column for each head and band."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.emotion.manifest import Score
from services.training.intervals import overlap
from services.training.plan import Plan
from services.training.report.judgements import Judgement
from services.training.results import NO_BAND, NO_FEATURE


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure as the paper marks it: the best is underlined, and what its interval overlaps with is bold."""

    score: Score
    best: bool
    level: bool


@dataclass(frozen=True, slots=True)
class Column:
    """One data set, learnt on itself or on another, under one head in one band."""

    train: str
    test: str
    head: str
    band: str


@dataclass(frozen=True, slots=True)
class Row:
    """A feature with a head kind; no cell where a column has no such system."""

    feature: str
    kind: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Columns with one band beside the other."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def table(judged: Sequence[Judgement], columns: Sequence[Column], measure: str = "f1") -> Table:
    """Every system that any of these columns has, by macro-F1 (`f1`) or unweighted average recall (`uar`)."""
    found = {column: in_column(judged, column) for column in columns}
    systems = dict.fromkeys((each.system.feature, each.system.kind) for every in found.values() for each in every)
    marked = {column: _marked(every, measure) for column, every in found.items()}
    return Table(
        tuple(columns),
        tuple(
            Row(feature, kind, tuple(marked[column].get((feature, kind)) for column in columns))
            for feature, kind in systems
        ),
    )


def in_column(judged: Iterable[Judgement], column: Column) -> list[Judgement]:
    """The systems that belong in a column: what hears nothing is the same in every band."""
    return [
        each
        for each in judged
        if (each.system.train, each.system.test, each.head) == (column.train, column.test, column.head)
        and each.system.band in {column.band, NO_BAND}
    ]


def columns_of(plan: Plan, train: str, test: str, heads: Iterable[str]) -> list[Column]:
    """One for each head, wide band beside telephone."""
    return [Column(train, test, head, band) for head in heads for band in plan.bands]


def best(judged: Sequence[Judgement]) -> Judgement:
    """The one with the largest macro-F1; the first of equals."""
    return max(judged, key=lambda each: each.f1.value)


def learnt(judged: Iterable[Judgement]) -> list[Judgement]:
    """Those that hear something."""
    return [each for each in judged if each.system.feature != NO_FEATURE]


def _marked(judged: Sequence[Judgement], measure: str) -> dict[tuple[str, str], Cell]:
    scores: dict[tuple[str, str], Score] = {
        (each.system.feature, each.system.kind): getattr(each, measure) for each in judged
    }
    top = max(scores.values(), key=lambda score: score.value, default=None)
    return {name: Cell(score, score is top, overlap(score, top)) for name, score in scores.items() if top}
