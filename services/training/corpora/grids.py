"""The statistics of a corpus as tables for a terminal and for a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from rich.table import Table

from services.training.corpora.statistics import Agreement, Amount, Lengths, agreements, amounts, lengths
from services.training.harmonise import Harmonised

PAPER_MEANS_S = "7.3 s (CC-Support) and 9.1 s (CC-Debt)"


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; a number is a text already."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def shown(self) -> Table:
        """For a terminal."""
        table = Table(*self.columns, title=self.title)
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """For a file."""
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        return f"**{self.title}**\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def grids(harmonised: Harmonised) -> list[Grid]:
    """Amounts as in Tables 1 and 2 of the paper, what has no class and why, agreement, and lengths."""
    corpus, scheme = harmonised.corpus, harmonised.scheme
    found = [_amounts(f"{corpus.name}, scheme {scheme.name}: data by class", amounts(harmonised)), _dropped(harmonised)]
    if pairs := agreements(harmonised):
        found.append(_agreements(pairs))
    return [*found, _lengths(f"segments, cut {corpus.cut}", lengths(corpus))]


def _amounts(title: str, found: Sequence[Amount]) -> Grid:
    rows, last = list[tuple[str, ...]](), ("", "")
    for each in found:
        side = f"{each.binary} {_hours(each.binary_hours)}" if each.binary else ""
        new = (each.dimension, each.binary) != last
        dimension = each.dimension if each.dimension != last[0] else ""
        rows.append((dimension, each.name, str(each.samples), _hours(each.hours), side if new else ""))
        last = each.dimension, each.binary
    return Grid(title, ("dimension", "class", "samples", "hours, full", "hours, binary"), tuple(rows))


def _dropped(harmonised: Harmonised) -> Grid:
    every = len(harmonised.corpus.segments)
    rows = [
        (name, str(every - reasons.total()), "; ".join(f"{reason} {count}" for reason, count in reasons.most_common()))
        for name, reasons in harmonised.dropped.items()
    ]
    return Grid(f"of {every} segments", ("dimension", "with a class", "without, by reason"), tuple(rows))


def _agreements(found: Sequence[Agreement]) -> Grid:
    rows = [
        (
            *(each.dimension, each.one, each.other, str(each.segments), f"{each.agreement:.2f}"),
            "-" if isnan(each.kappa) else f"{each.kappa:.2f}",
            f"{each.commonest} {each.prevalence:.0%}",
        )
        for each in found
    ]
    columns = ("dimension", "annotator", "with", "segments", "agreement", "Cohen's kappa", "commonest label")
    return Grid("agreement: of annotators on raw labels, with the truth on classes", columns, tuple(rows))


def _lengths(title: str, found: Lengths) -> Grid:
    quartiles = " / ".join(f"{each:.1f}" for each in found.quartiles)
    row = (str(found.segments), _hours(found.hours), f"{found.mean:.1f}", quartiles, PAPER_MEANS_S)
    return Grid(title, ("segments", "hours", "mean, s", "quartiles, s", "the paper's means"), (row,))


def _hours(hours: float) -> str:
    return f"{hours:.1f}" if hours >= 10 else f"{hours:.2f}"
