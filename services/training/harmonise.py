"""From what annotators said to one class a segment and head, by a scheme."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from services.training.corpora.corpus import Annotation, Corpus
from services.training.errors import SchemeError
from streams.domain.schemes import Dimension, Disagreement, Scheme, class_of, raw_labels

Classes = NDArray[np.int64]

NONE = -1  #: the segment has no class under the head


class Reason(StrEnum):
    """Why a segment has no class of a dimension."""

    UNJUDGED = "not annotated"
    RARE = "label too rare"
    UNUSED = "label that the scheme drops"
    EMOTIONS = "two emotional labels"
    WAVERING = "neutral against emotional"


@dataclass(frozen=True, slots=True)
class Harmonised:
    """A corpus as a scheme sees it. `scheme` is without the classes that were too rare."""

    corpus: Corpus
    scheme: Scheme
    targets: Mapping[str, Classes] = field(repr=False)  #: head -> (segments,) index of the class, or NONE
    dropped: Mapping[str, Counter[str]] = field(repr=False)  #: dimension -> reason -> segments without a class


@dataclass(frozen=True, slots=True)
class Judged:
    """What is said of one segment in one dimension: a raw label an annotator, in no order that counts."""

    labels: tuple[str, ...]
    verdict: str | None = None

    @property
    def all(self) -> tuple[str, ...]:
        """The verdict's label too, where there is one."""
        return self.labels if self.verdict is None else (*self.labels, self.verdict)


def harmonise(corpus: Corpus, scheme: Scheme) -> Harmonised:
    """The class of every segment under every head, as the paper's section 2.3 has it.

    Raw labels on too few segments are dropped, the others merged into classes. The truth is then the experts'
    verdict, else the class of more than half of the annotators, else the one emotional class beside the neutral one;
    else the segment has none, counted by reason. SchemeError where labels and scheme do not fit each other.
    """
    said = {name: judged(corpus, name) for name in scheme.dimensions}
    _check_known(scheme, said)
    rare = {name: _rare(rows, scheme.dimensions[name], scheme.harmonisation.least) for name, rows in said.items()}
    kept = _without(scheme, rare)
    targets: dict[str, Classes] = {}
    dropped: dict[str, Counter[str]] = {}
    for name, rows in said.items():
        dimension = kept.dimensions[name]
        truths = [_truth(row, dimension, rare[name], scheme.harmonisation.disagreement) for row in rows]
        dropped[name] = Counter(str(truth) for truth in truths if isinstance(truth, Reason))
        targets |= _targets(name, dimension, truths)
    return Harmonised(corpus, kept, targets, dropped)


def judged(corpus: Corpus, dimension: str) -> list[Judged]:
    """What is said of every segment in one dimension, in the corpus's order."""
    labels: defaultdict[str, list[str]] = defaultdict(list)
    for annotation in corpus.annotations:
        if dimension in annotation.labels:
            labels[annotation.segment].append(annotation.labels[dimension])
    verdicts = _verdicts(corpus.verdicts, dimension)
    return [Judged(tuple(labels[each.id]), verdicts.get(each.id)) for each in corpus.segments]


def _verdicts(verdicts: Iterable[Annotation], dimension: str) -> dict[str, str]:
    return {each.segment: each.labels[dimension] for each in verdicts if dimension in each.labels}


def settled(labels: Iterable[str], dimension: Dimension) -> str | None:
    """The class of more than half of these raw labels; None where there is none."""
    votes = Counter(class_of(label, dimension.classes) for label in labels)
    most, count = votes.most_common(1)[0]
    return most if 2 * count > votes.total() else None


def _truth(row: Judged, dimension: Dimension, rare: frozenset[str], disagreement: Disagreement) -> str | Reason:
    decisive = row.labels if row.verdict is None else (row.verdict,)
    if not decisive:
        return Reason.UNJUDGED
    if rare & set(decisive):
        return Reason.RARE
    if set(dimension.dropped) & set(decisive):
        return Reason.UNUSED
    agreed = settled(decisive, dimension)
    if agreed is not None:
        return agreed
    emotional = {class_of(label, dimension.classes) for label in decisive} - {dimension.neutral}
    if len(emotional) > 1:
        return Reason.EMOTIONS
    return str(*emotional) if disagreement is Disagreement.EMOTIONAL else Reason.WAVERING


def _check_known(scheme: Scheme, said: Mapping[str, Sequence[Judged]]) -> None:
    problems = []
    for name, rows in said.items():
        known = raw_labels(scheme.dimensions[name])
        given = Counter(label for row in rows for label in set(row.all))
        if not given:
            problems.append(f"scheme {scheme.name}: nobody judged {name}; annotate it, or use a scheme without it")
        problems += [
            f"scheme {scheme.name} has no class of {name} for label {label!r} ({count} segments); correct the label,"
            f" or put it in a class or in `dropped`, beside {', '.join(known)}"
            for label, count in sorted(given.items())
            if label not in known
        ]
    if problems:
        raise SchemeError("\n".join(problems))


def _rare(rows: Iterable[Judged], dimension: Dimension, least: int) -> frozenset[str]:
    """Labels of classes on fewer segments than `least`, by whichever annotator, before anything is merged."""
    segments = Counter(label for row in rows for label in set(row.all))
    return frozenset(label for members in dimension.classes.values() for label in members if segments[label] < least)


def _without(scheme: Scheme, rare: Mapping[str, frozenset[str]]) -> Scheme:
    """The scheme without rare labels, and without the classes that have no label left."""
    kept = {name: _reduced(dimension, rare[name]) for name, dimension in scheme.dimensions.items()}
    problems = [
        f"scheme {scheme.name}: of {name} {_counted(dimension)} left with {scheme.harmonisation.least} segments or"
        " more a label; annotate more, or give a smaller `least`"
        for name, dimension in kept.items()
        if len(dimension.classes) < 2
    ]
    if problems:
        raise SchemeError("\n".join(problems))
    return replace(scheme, dimensions=kept)


def _counted(dimension: Dimension) -> str:
    return f"class {', '.join(dimension.classes)} alone is" if dimension.classes else "no class is"


def _reduced(dimension: Dimension, rare: frozenset[str]) -> Dimension:
    classes = _members(dimension.classes, lambda label: label not in rare)
    binary = _members(dimension.binary, lambda name: name in classes) if len(classes) > 2 else {}
    return Dimension(
        classes=classes,
        binary=binary if len(binary) == 2 else {},
        neutral=dimension.neutral if dimension.neutral in classes else "",
        dropped=(*dimension.dropped, *sorted(rare)),
    )


def _members(groups: Mapping[str, tuple[str, ...]], kept: Callable[[str], bool]) -> dict[str, tuple[str, ...]]:
    """The groups with those of their members that are kept; without the groups that have none."""
    filtered = {name: tuple(filter(kept, members)) for name, members in groups.items()}
    return {name: members for name, members in filtered.items() if members}


def _targets(name: str, dimension: Dimension, truths: Sequence[str | Reason]) -> dict[str, Classes]:
    """The rows of `truths` as indices, under the full head and, where there is one, the binary head."""
    full = {truth: at for at, truth in enumerate(dimension.classes)}
    binary = {member: at for at, members in enumerate(dimension.binary.values()) for member in members}
    heads = {f"{name}.full": full} | ({f"{name}.binary": binary} if binary else {})
    return {
        head: np.array([NONE if isinstance(each, Reason) else index[each] for each in truths], np.int64)
        for head, index in heads.items()
    }
