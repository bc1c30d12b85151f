"""A corpus on disk: `corpus.json` and three tables beside it; the recordings stay where they are."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from hashlib import file_digest, sha256
from pathlib import Path

import msgspec

from services.training.corpora.corpus import DIMENSIONS, Annotation, Corpus, Cut, Segment
from services.training.corpora.labelled_folder import LABELS, read_labelled_folder
from services.training.corpora.recordings import misplaced, read_headers
from services.training.corpora.tables import Row, new_folder, read_table, refuse, write_table
from services.training.errors import CorpusError

MANIFEST, SEGMENTS, ANNOTATIONS, VERDICTS = "corpus.json", "segments.csv", "annotations.csv", "verdicts.csv"

_COLUMNS = tuple(field.name for field in fields(Segment))
_REQUIRED = _COLUMNS[: _COLUMNS.index("channel")]
_SAID = ("segment", "annotator")


@dataclass(frozen=True, slots=True)
class _Manifest:
    """`corpus.json`."""

    name: str
    recordings: str  #: folder, relative to the corpus's own where it can be
    cut: Cut
    source: str = ""


def write_corpus(folder: Path, corpus: Corpus) -> None:
    """Write a corpus into a new folder, all of it or nothing. CorpusError where the folder is not empty."""
    with new_folder(folder) as made:
        _write(made, folder, corpus)
        made.chmod(0o755)


def write_verdicts(folder: Path, verdicts: Iterable[Annotation]) -> None:
    """Replace the experts' verdicts of a corpus on disk, all of them or none."""
    if not (folder / MANIFEST).exists():
        raise CorpusError(f"{folder}: keeps no verdicts; import it with `undertone corpus import folder` first")
    new = folder / f"{VERDICTS}.new"
    write_table(new, (*_SAID, *DIMENSIONS), map(_line, verdicts))
    new.replace(folder / VERDICTS)


def _write(made: Path, folder: Path, corpus: Corpus) -> None:
    kept = _Manifest(corpus.name, _relative(corpus.recordings, folder), corpus.cut, corpus.source)
    (made / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")
    write_table(made / SEGMENTS, _COLUMNS, map(asdict, corpus.segments))
    write_table(made / ANNOTATIONS, (*_SAID, *DIMENSIONS), map(_line, corpus.annotations))
    write_table(made / VERDICTS, (*_SAID, *DIMENSIONS), map(_line, corpus.verdicts))


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_posix()


def _line(annotation: Annotation) -> dict[str, str]:
    return {"segment": annotation.segment, "annotator": annotation.annotator, **annotation.labels}


def read_corpus(folder: Path) -> Corpus:
    """The corpus in a folder; one that has a `labels.csv` alone is imported in memory.

    CorpusError: every problem of every file in it, a line each.
    """
    if not (folder / MANIFEST).exists() and (folder / LABELS).exists():
        return read_labelled_folder(folder).usable()
    manifest, problems = _manifest(folder / MANIFEST), list[str]()
    recordings = Path(os.path.normpath(folder / manifest.recordings))
    segments = _segments(folder / SEGMENTS, recordings, problems)
    known = {segment.id for segment in segments}
    said = _annotations(folder / ANNOTATIONS, known, problems)
    verdicts = _annotations(folder / VERDICTS, known, problems) if (folder / VERDICTS).exists() else ()
    refuse(problems)
    return Corpus(manifest.name, recordings, segments, said, manifest.cut, verdicts, manifest.source)


def _manifest(path: Path) -> _Manifest:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Manifest)
    except OSError as error:
        raise CorpusError(f"{path}: {error.strerror}; a corpus is what `undertone corpus import` writes") from None
    except msgspec.DecodeError as error:
        raise CorpusError(f"{path}: {error}; correct it, or import the corpus again") from None


def _segments(path: Path, recordings: Path, problems: list[str]) -> tuple[Segment, ...]:
    rows = read_table(path, _REQUIRED, [each for each in _COLUMNS if each not in _REQUIRED], problems=problems)
    if not rows and not problems:
        problems.append(f"{path}: no segments; import the corpus again")
    read = [(row, _segment(row, problems)) for row in rows]
    found = [(row.place, segment) for row, segment in read if segment]
    segments, places = [segment for _, segment in found], [place for place, _ in found]
    problems += _twice(places, [segment.id for segment in segments], "segment {}")
    problems += misplaced(segments, places, read_headers(recordings, (each.recording for each in segments), problems))
    return tuple(segments)


def _segment(row: Row, problems: list[str]) -> Segment | None:
    numbers = [row.whole(column, problems) for column in ("start_ms", "end_ms")]
    channel = row.whole("channel", problems) if row["channel"] else 0
    if channel is None or None in numbers:
        return None
    times = {"start_ms": numbers[0], "end_ms": numbers[1], "channel": channel}
    return Segment(**(dict(row.cells) | times))  # type: ignore[arg-type]  # each column is a field


def _annotations(path: Path, known: set[str], problems: list[str]) -> tuple[Annotation, ...]:
    rows = read_table(path, _SAID, DIMENSIONS, problems=problems)
    problems += [
        f"{row.place}: no segment {row['segment']!r} in {SEGMENTS}; correct it, or remove the line"
        for row in rows
        if row["segment"] not in known
    ]
    pairs = [f"{row['segment']} by {row['annotator']}" for row in rows]
    problems += _twice([row.place for row in rows], pairs, "segment {}")
    return tuple(Annotation(row["segment"], row["annotator"], _labels(row.cells)) for row in rows)


def _labels(cells: Mapping[str, str]) -> dict[str, str]:
    return {name: cells[name] for name in DIMENSIONS if cells.get(name)}


def _twice(places: Sequence[str], names: Sequence[str], what: str) -> Iterator[str]:
    seen = Counter[str]()
    for place, name in zip(places, names, strict=True):
        seen[name] += 1
        if seen[name] == 2:
            yield f"{place}: {what.format(name)} is there twice; remove one"


def fingerprint(corpus: Corpus, tick: Callable[[], None] = lambda: None) -> str:
    """sha256 over segments, labels and the bytes of the recordings, whatever their order; `tick` is called for each."""
    content = {}
    for name in sorted({each.recording for each in corpus.segments}):
        content[name] = _content(corpus.recordings / name)
        tick()
    lines = ["\t".join((*map(str, asdict(each).values()), content[each.recording])) for each in corpus.segments]
    for kind, annotations in (("annotation", corpus.annotations), ("verdict", corpus.verdicts)):
        lines += [
            "\t".join((kind, *(_line(each).get(name, "") for name in (*_SAID, *DIMENSIONS)))) for each in annotations
        ]
    return sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
