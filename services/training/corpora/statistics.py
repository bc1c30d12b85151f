"""What a corpus comes to: samples and hours by class, how far annotators agree, how long its segments are."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import nan

import numpy as np
from sklearn.metrics import cohen_kappa_score

from services.training.corpora.corpus import Corpus
from services.training.harmonise import NONE, Harmonised
from streams.domain.schemes import class_of

HOUR_MS = 3_600_000
TRUTH = "the truth"


@dataclass(frozen=True, slots=True)
class Amount:
    """A class in Tables 1 and 2 of the paper; `binary` is empty where the dimension has two classes already."""

    dimension: str
    name: str
    samples: int
    hours: float
    binary: str = ""
    binary_hours: float = 0.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far one annotator says what another says, or what is true. Kappa is nan where both say one label alone.

    `commonest` and `prevalence` are the label that is chosen most by the two, and its share: kappa falls where that
    is large, however often they agree.
    """

    dimension: str
    one: str
    other: str
    segments: int
    agreement: float
    kappa: float
    commonest: str
    prevalence: float


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of segments, in seconds."""

    segments: int
    hours: float
    mean: float
    quartiles: tuple[float, float, float]


def amounts(harmonised: Harmonised) -> list[Amount]:
    """Every class of every dimension, in the scheme's order, those of one binary class together."""
    times = np.array([segment.duration_ms for segment in harmonised.corpus.segments]) / HOUR_MS
    return [each for name in harmonised.scheme.dimensions for each in _amounts(harmonised, name, times)]


def _amounts(harmonised: Harmonised, name: str, times: np.ndarray) -> Iterator[Amount]:
    dimension, full = harmonised.scheme.dimensions[name], harmonised.targets[f"{name}.full"]
    held = {label: full == at for at, label in enumerate(dimension.classes)}
    for side, members in (dimension.binary or {"": tuple(held)}).items():
        together = float(sum(times[held[member]].sum() for member in members)) if side else 0.0
        for member in members:
            yield Amount(name, member, int(held[member].sum()), float(times[held[member]].sum()), side, together)


def agreements(harmonised: Harmonised) -> list[Agreement]:
    """Every pair of annotators on raw labels, then each annotator against the truth on classes."""
    found = list[Agreement]()
    for name in harmonised.scheme.dimensions:
        said = _said(harmonised.corpus, name)
        pairs = combinations(sorted(said), 2)
        found += [each for one, other in pairs if (each := _agreement(name, one, other, said[one], said[other]))]
        truth = _truth(harmonised, name)
        classes = harmonised.scheme.dimensions[name].classes
        for annotator, labels in sorted(said.items()) if len(said) > 1 else ():
            merged = {segment: class_of(label, classes) or label for segment, label in labels.items()}
            if each := _agreement(name, annotator, TRUTH, merged, truth):
                found.append(each)
    return found


def _said(corpus: Corpus, name: str) -> dict[str, dict[str, str]]:
    """Annotator -> segment -> raw label."""
    said: dict[str, dict[str, str]] = {}
    for each in corpus.annotations:
        if name in each.labels:
            said.setdefault(each.annotator, {})[each.segment] = each.labels[name]
    return said


def _truth(harmonised: Harmonised, name: str) -> dict[str, str]:
    classes, full = tuple(harmonised.scheme.dimensions[name].classes), harmonised.targets[f"{name}.full"]
    pairs = zip(harmonised.corpus.segments, full, strict=True)
    return {segment.id: classes[at] for segment, at in pairs if at != NONE}


def _agreement(name: str, one: str, other: str, left: Mapping[str, str], right: Mapping[str, str]) -> Agreement | None:
    both = [segment for segment in left if segment in right]
    if not both:
        return None
    first, second = [left[segment] for segment in both], [right[segment] for segment in both]
    same = sum(a == b for a, b in zip(first, second, strict=True)) / len(both)
    (commonest, count), *_ = sorted(Counter(first + second).items(), key=lambda each: (-each[1], each[0]))
    return Agreement(name, one, other, len(both), same, kappa(first, second), commonest, count / (2 * len(both)))


def kappa(first: Sequence[str], second: Sequence[str]) -> float:
    """Cohen's kappa (1960), nan where there is but one label: it then says nothing."""
    return float(cohen_kappa_score(first, second)) if len({*first, *second}) > 1 else nan


def lengths(corpus: Corpus) -> Lengths:
    """How long the segments are."""
    seconds = np.array([segment.duration_ms for segment in corpus.segments]) / 1000
    low, middle, high = (float(each) for each in np.percentile(seconds, [25, 50, 75]))
    return Lengths(len(seconds), float(seconds.sum()) / 3600, float(seconds.mean()), (low, middle, high))
