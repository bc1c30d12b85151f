"""What a corpus's own labels suggest as a scheme, to be read and changed by a person."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import msgspec
import yaml

from services.training.corpora.corpus import DIMENSIONS, Corpus
from services.training.errors import CorpusError
from services.training.harmonise import Judged, judged
from streams.domain.schemes import Dimension, Harmonisation, Scheme

NEUTRAL = ("calm", "neutral")  #: labels of no emotion
MERGE = 0.3  #: two annotators who choose one of two labels at random differ in half of the segments
MERGE_LEAST = 10  #: pairs of judgements in which both annotators chose one of the two


@dataclass(frozen=True, slots=True)
class Proposal:
    """A scheme, and a line on each choice in it."""

    scheme: Scheme
    why: tuple[str, ...]

    def text(self) -> str:
        """YAML that `--scheme` reads, the reasons as comments."""
        made = yaml.safe_dump(msgspec.to_builtins(self.scheme), sort_keys=False, default_flow_style=None, width=100)
        return "".join(f"# {line}\n" for line in self.why) + str(made)


def as_labelled(corpus: Corpus) -> Scheme:
    """A scheme in which every raw label is a class of its own, none too rare."""
    found = {
        name: Dimension({label: (label,) for label in sorted(counts)}, {}, neutral=_neutral(dict(counts.most_common())))
        for name, rows in _own(corpus)
        if len(counts := _segments(rows)) > 1
    }
    if not found:
        raise CorpusError(f"corpus {corpus.name}: fewer than two labels in every dimension; annotate more")
    return Scheme(corpus.name, found, Harmonisation(least=1))


def propose(corpus: Corpus, least: int = Harmonisation().least) -> Proposal:
    """Labels to drop by their counts and to merge by annotators' confusion, and the majority against the rest."""
    found: dict[str, Dimension] = {}
    why: list[str] = []
    for name, rows in _own(corpus):
        counts = _segments(rows)
        kept = [label for label, count in counts.most_common() if count >= least]
        why.append(f"{name}, segments: {', '.join(f'{label} {count}' for label, count in counts.most_common())}")
        if len(kept) > 1:
            groups, reasons = _merged(kept, rows)
            why += [f"{name}: {reason}" for reason in reasons]
            found[name] = _dimension(groups, tuple(sorted(set(counts) - set(kept))))
    if not any(len(dimension.classes) > 1 for dimension in found.values()):
        raise CorpusError(f"corpus {corpus.name}: no dimension with two labels on {least} segments; annotate more")
    return Proposal(Scheme(corpus.name, found, Harmonisation(least=least)), tuple(why))


def _own(corpus: Corpus) -> list[tuple[str, list[Judged]]]:
    """The dimensions that were judged, but for those that only repeat the category."""
    said = [(name, judged(corpus, name)) for name in DIMENSIONS]
    category = said[0][1]
    own = [(name, rows) for name, rows in said if rows is category or rows != category]
    return [(name, rows) for name, rows in own if any(row.all for row in rows)]


def _segments(rows: Iterable[Judged]) -> Counter[str]:
    return Counter(label for row in rows for label in set(row.all))


def _neutral(labels: Iterable[str]) -> str:
    """The one of these labels that says so, else the first."""
    first, *others = labels
    return next((label for label in (first, *others) if label in NEUTRAL), first)


def _merged(kept: Sequence[str], rows: Sequence[Judged]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Classes by the name of their commonest label. Neutral is merged with none: it is confused with everything."""
    pairs = Counter(tuple(sorted(pair)) for row in rows for pair in combinations(row.labels, 2))
    groups, reasons = {label: [label] for label in kept}, list[str]()
    neutral = _neutral(kept)
    for one, other in combinations([label for label in kept if label != neutral], 2):
        apart = pairs[min(one, other), max(one, other)]
        both = apart + pairs[one, one] + pairs[other, other]
        if both < MERGE_LEAST or apart < MERGE * both:
            continue
        reasons.append(f"{one} and {other} merged: two annotators who chose one of them differ in {apart} of {both}")
        target = next(name for name, members in groups.items() if one in members)
        source = next(name for name, members in groups.items() if other in members)
        if source != target:
            groups[target] += groups.pop(source)
    return {name: tuple(members) for name, members in groups.items()}, reasons


def _dimension(groups: dict[str, tuple[str, ...]], dropped: tuple[str, ...]) -> Dimension:
    """The commonest class against the rest, as the paper has it (section 2.4)."""
    commonest, *others = groups
    binary = {commonest: (commonest,), "rest": tuple(sorted(others))} if len(others) > 1 else {}
    neutral = _neutral(groups)
    return Dimension({name: groups[name] for name in sorted(groups)}, binary, neutral, dropped)
