"""Whether a class is tied to who speaks, to what is read out, or to one call: then a model may learn that instead."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]
Names = NDArray[np.str_]

TIED = 0.5  #: Cramer's V from which Cohen (1988) calls an association of two large
BY_CHANCE = 0.01
PERMUTATIONS = 499
SEED = 20261127
NAMED = 5  #: units told for each tie


@dataclass(frozen=True, slots=True)
class Tie:
    """A class that follows a unit."""

    strength: float  #: Cramer's V
    chance: float  #: how often as much is found where labels are dealt out at random
    units: tuple[tuple[str, str, int, int], ...]  #: what stands out most: unit, its commonest class, count, of how many


def tie(classes: Sequence[str], units: Sequence[str]) -> Tie | None:
    """The tie of classes to units, an entry of each a segment; None where there is none to speak of.

    Cramer's V with Bergsma's correction of its bias (2013), so that units of one segment each are no tie; its chance
    by permutation.
    """
    labels, columns = np.unique(classes, return_inverse=True)
    names, rows = np.unique(units, return_inverse=True)
    shape = (len(names), len(labels))
    table = _table(rows, columns, shape)
    if min(shape) < 2 or (strength := cramers_v(table)) < TIED:
        return None
    chance = _chance(rows, columns, shape)
    return Tie(strength, chance, tuple(_told(table, labels, names))) if chance <= BY_CHANCE else None


def cramers_v(table: Codes) -> float:
    """Cramer's V of a (units, classes) table of counts without empty rows and columns, its bias corrected."""
    total, (rows, columns) = int(table.sum()), table.shape
    spare = (rows - 1) * (columns - 1) / (total - 1)
    phi = max(0.0, float(_surprise(table).sum()) / total - spare)
    sides = [size - (size - 1) ** 2 / (total - 1) - 1 for size in (rows, columns)]
    return math.sqrt(phi / min(sides)) if min(sides) > 0 else 0.0


def _table(rows: Codes, columns: Codes, shape: tuple[int, int]) -> Codes:
    return np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1]).reshape(shape)


def _surprise(table: Codes) -> NDArray[np.float64]:
    """(units, classes): what each cell adds to chi-square."""
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    surprise: NDArray[np.float64] = (table - expected) ** 2 / expected
    return surprise


def _chance(rows: Codes, columns: Codes, shape: tuple[int, int]) -> float:
    """Share of dealings, this one included, whose chi-square is as large."""
    found, random = _surprise(_table(rows, columns, shape)).sum(), np.random.default_rng(SEED)
    dealt = [_surprise(_table(rows, random.permutation(columns), shape)).sum() for _ in range(PERMUTATIONS)]
    return (1 + sum(bool(value >= found * (1 - 1e-9)) for value in dealt)) / (1 + PERMUTATIONS)


def _told(table: Codes, labels: Names, names: Names) -> Iterator[tuple[str, str, int, int]]:
    for at in np.argsort(-_surprise(table).sum(axis=1), kind="stable")[:NAMED]:
        most = int(table[at].argmax())
        yield str(names[at]), str(labels[most]), int(table[at, most]), int(table[at].sum())
