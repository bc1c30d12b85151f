"""The windows that nobody has annotated yet, as a bundle sees them, and the list that annotators get."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from services.emotion.bundle import Bundle
from services.emotion.model import Array, hear, judge_heard
from services.training.corpora.corpus import DIMENSIONS, Corpus, Segment
from services.training.corpora.recordings import read_header, read_samples
from services.training.corpora.tables import write_table
from services.training.errors import CorpusError
from streams.domain.unlabelled import Unlabelled
from streams.speech.resample import resample

BATCH = 32  #: windows in memory at a time

#: What `undertone corpus import manifest` reads.
COLUMNS = (
    *("path", "speaker", "start_ms", "end_ms", "channel", "conversation", "session", "sex", "language", "text_id"),
    *("annotator", *DIMENSIONS),
)


@dataclass(frozen=True, slots=True)
class Pool:
    """Segments that a bundle judges: n of them."""

    segments: tuple[Segment, ...]
    probabilities: Mapping[str, Array] = field(repr=False)  #: head -> (n, classes)
    vectors: Array = field(repr=False)  #: (n, values)
    passed: Counter[str] = field(repr=False)  #: reason -> segments that the bundle does not judge


@dataclass(frozen=True, slots=True)
class _Seen:
    """One window: the probabilities of each head's classes, and what the bundle hears of it."""

    shares: Mapping[str, Array]
    vector: Array


def unannotated(corpus: Corpus) -> list[Segment]:
    """The segments of which no annotator and no expert has said anything. CorpusError where there is none."""
    known = {said.segment for said in (*corpus.annotations, *corpus.verdicts)}
    found = [segment for segment in corpus.segments if segment.id not in known]
    if not found:
        raise CorpusError(f"{corpus.name}: every segment has an annotation; import or prepare more calls")
    return found


def hear_pool(
    bundle: Bundle, corpus: Corpus, segments: Sequence[Segment], tick: Callable[[], None] = lambda: None
) -> Pool:
    """Judge these segments of the corpus; `tick` is called once for each. CorpusError where one cannot be read."""
    kept, passed = list[tuple[Segment, _Seen]](), Counter[str]()
    for batch in _batches(segments):
        windows = [_window(corpus, segment, bundle.manifest.rate) for segment in batch]
        for segment, seen in zip(batch, _see(bundle, windows), strict=True):
            if isinstance(seen, _Seen):
                kept.append((segment, seen))
            else:
                passed[seen] += 1
            tick()
    if not kept:
        raise CorpusError(f"{corpus.name}: the bundle judges no segment of it ({_told(passed)}); check the recordings")
    heads = kept[0][1].shares
    if not heads:
        name = bundle.manifest.name
        raise CorpusError(f"bundle {name!r} gives no probabilities; train it on more windows of each class")
    return Pool(
        segments=tuple(segment for segment, _ in kept),
        probabilities={head: np.stack([seen.shares[head] for _, seen in kept]) for head in heads},
        vectors=np.stack([seen.vector for _, seen in kept]),
        passed=passed,
    )


def check_unwritten(path: Path) -> None:
    """Refuse a list that annotators may have at hand (CorpusError)."""
    if path.exists():
        raise CorpusError(f"{path}: is there already, filled in perhaps; name a new file")


def write_list(path: Path, corpus: Corpus, segments: Iterable[Segment]) -> None:
    """A manifest of these segments in this order, for annotators to fill in. CorpusError where the file is there."""
    check_unwritten(path)
    write_table(path, COLUMNS, [_line(segment, corpus.recordings, path.parent) for segment in segments])


def _line(segment: Segment, recordings: Path, folder: Path) -> dict[str, object]:
    own = ("speaker", "start_ms", "end_ms", "channel", "conversation", "session", "sex", "language")
    where = Path(os.path.relpath(recordings / segment.recording, folder)).as_posix()
    return {"path": where, "text_id": segment.text} | {name: getattr(segment, name) for name in own}


def _see(bundle: Bundle, windows: Sequence[Array]) -> list["_Seen | str"]:
    """What the bundle makes of each window, or the reason why nothing; one out of domain is the more worth hearing."""
    heard = hear(bundle, windows)
    judged = judge_heard(bundle, heard)
    return [
        str(judged.reasons[at])
        if isinstance(each, Unlabelled) or judged.reasons[at] not in {None, Unlabelled.DISTANCE}
        else _Seen({head: rows[at] for head, rows in judged.probabilities.items()}, each.vector)
        for at, each in enumerate(heard)
    ]


def _told(passed: Counter[str]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in passed.most_common())


def _batches(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    left = iter(segments)
    while batch := list(islice(left, BATCH)):
        yield batch


def _window(corpus: Corpus, segment: Segment, rate: int) -> Array:
    """The segment as the bundle takes it, shape (samples,)."""
    file_rate = read_header(corpus.recordings / segment.recording).rate
    window: Array = resample(read_samples(corpus, segment)[np.newaxis], file_rate, rate)[0]
    return window
