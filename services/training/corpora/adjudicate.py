"""What annotators do not agree on, as a table that experts fill in, and back as their verdicts."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from services.training.corpora.corpus import EXPERTS, Annotation, Corpus
from services.training.corpora.menu import menu_of, unknown
from services.training.corpora.tables import read_table, refuse, write_table
from services.training.harmonise import NONE, Judged, harmonise, judged
from streams.domain.schemes import Dimension, Scheme, class_of, normal

COLUMNS = ("segment", "recording", "start_ms", "end_ms", "dimension", "labels", "otherwise", "verdict")


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A segment and dimension for the experts; a field a column of the table."""

    segment: str
    recording: str
    start_ms: int
    end_ms: int
    dimension: str
    labels: str  #: annotator: label; annotator: label
    otherwise: str  #: the class that it has while there is no verdict, or that it has none


def disagreements(corpus: Corpus, scheme: Scheme) -> Iterator[Disagreement]:
    """Segments on which annotators chose different classes and no half of them one. SchemeError as `harmonise`."""
    found = harmonise(corpus, scheme)
    said = defaultdict[tuple[str, str], list[str]](list)
    for each in corpus.annotations:
        for name, label in each.labels.items():
            said[each.segment, name].append(f"{each.annotator}: {label}")
    for name, dimension in found.scheme.dimensions.items():
        classes, full = tuple(dimension.classes), found.targets[f"{name}.full"]
        for segment, row, at in zip(corpus.segments, judged(corpus, name), full, strict=True):
            if _undecided(row, scheme.dimensions[name]):
                labels = "; ".join(sorted(said[segment.id, name]))
                times = (segment.start_ms, segment.end_ms)
                otherwise = "no class" if at == NONE else classes[at]
                yield Disagreement(segment.id, segment.recording, *times, name, labels, otherwise)


def _undecided(row: Judged, dimension: Dimension) -> bool:
    votes = Counter(class_of(label, dimension.classes) for label in row.labels)
    return row.verdict is None and len(votes) > 1 and 2 * max(votes.values()) <= votes.total()


def write_disagreements(table: Path, corpus: Corpus, scheme: Scheme) -> int:
    """Write the table with an empty column for the verdict; how many lines it has."""
    found = list(disagreements(corpus, scheme))
    write_table(table, COLUMNS, map(asdict, found))
    return len(found)


def read_verdicts(table: Path, corpus: Corpus, scheme: Scheme) -> tuple[Annotation, ...]:
    """The corpus's verdicts with those of a filled-in table. CorpusError: every problem, a line each."""
    problems: list[str] = []
    known, menu = {segment.id for segment in corpus.segments}, menu_of(scheme)
    verdicts = {each.segment: dict(each.labels) for each in corpus.verdicts}
    filled = [
        row
        for row in read_table(table, ("segment", "dimension"), COLUMNS[1:4] + COLUMNS[5:], problems=problems)
        if row["verdict"]
    ]
    if not filled and not problems:
        problems.append(f"{table}: no verdict; fill in that column where you can tell")
    for row in filled:
        label = normal(row["verdict"])
        if row["segment"] not in known:
            problems.append(f"{row.place}: no segment {row['segment']!r} in the corpus; leave that column as it was")
        if row["dimension"] not in menu:
            problems.append(f"{row.place}: no dimension {row['dimension']!r}; write one of {', '.join(menu)}")
        problems += [f"{row.place}: {fault}" for fault in unknown({row["dimension"]: label}, menu)]
        verdicts.setdefault(row["segment"], {})[row["dimension"]] = label
    refuse(problems)
    return tuple(Annotation(segment, EXPERTS, labels) for segment, labels in verdicts.items())
