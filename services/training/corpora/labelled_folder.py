"""A folder of recordings with a `labels.csv`: a segment each, as EmoDB and its like are passed on."""

from collections.abc import Mapping
from pathlib import Path

from services.training.corpora.corpus import DIMENSIONS, Annotation, Corpus, Cut, Segment
from services.training.corpora.menu import Menu, unknown
from services.training.corpora.recordings import Found, Header, found, read_headers
from services.training.corpora.tables import Row, read_table
from streams.domain.schemes import normal

LABELS = "labels.csv"
REQUIRED = ("path", "speaker")
OPTIONAL = ("label", *DIMENSIONS, "sex", "text_id", "seconds", "rate", "conversation", "session", "language")
ANNOTATOR = "corpus"
SLACK_S = 0.05  #: a stated length may be rounded; a file that was cut off is shorter by more


def read_labelled_folder(folder: Path, menu: Menu | None = None) -> Found:
    """The corpus of a folder with `labels.csv`: `path` and `speaker`, and `label` or a column for each dimension.

    `label` is said of every dimension that has no column of its own. Each recording is one segment; a speaker is one
    conversation where no column says otherwise.
    """
    problems: list[str] = []
    rows = read_table(folder / LABELS, REQUIRED, OPTIONAL, problems=problems)
    if not rows and not problems:
        problems.append(f"{folder / LABELS}: no recordings; a line each, with columns {', '.join(REQUIRED)} and label")
    headers = read_headers(folder, (row["path"] for row in rows), problems)
    segments, said, seen = list[Segment](), list[Annotation](), set[str]()
    for row in rows:
        header = headers.get(row["path"])
        faults = (*_faults(row, header, seen), *unknown(_labels(row.cells), menu))
        problems += [f"{row.place}: {fault}" for fault in faults]
        seen.add(row["path"])
        segments.append(_segment(row, header))
        said.append(Annotation(row["path"], ANNOTATOR, _labels(row.cells)))
    corpus = Corpus(folder.resolve().name, folder, tuple(segments), tuple(said), Cut.BY_CORPUS)
    return found(corpus, headers, problems)


def _labels(cells: Mapping[str, str]) -> dict[str, str]:
    said = {name: cells.get(name) or cells.get("label", "") for name in DIMENSIONS}
    return {name: normal(label) for name, label in said.items() if label}


def _segment(row: Row, header: Header | None) -> Segment:
    return Segment(
        id=row["path"],
        recording=row["path"],
        start_ms=0,
        end_ms=header.duration_ms if header else 0,
        speaker=row["speaker"],
        conversation=row["conversation"] or row["speaker"],
        session=row["session"],
        sex=row["sex"],
        language=row["language"],
        text=row["text_id"],
    )


def _faults(row: Row, header: Header | None, seen: set[str]) -> list[str]:
    faults = []
    if row["path"] in seen:
        faults.append(f"{row['path']} is there twice; remove one")
    if not _labels(row.cells):
        faults.append("no label; give one, or remove the line")
    if header and row["rate"] not in {"", str(header.rate)}:
        faults.append(f"{row['path']} has {header.rate} Hz, not {row['rate']}; correct the line or the file")
    if header and _cut_off(row["seconds"], header):
        lasts = f"{row['path']} lasts {header.duration_ms / 1000} s, not {row['seconds']}"
        faults.append(f"{lasts}; copy it again, or correct the line")
    return faults


def _cut_off(seconds: str, header: Header) -> bool:
    try:
        return bool(seconds) and abs(float(seconds) - header.duration_ms / 1000) > SLACK_S
    except ValueError:
        return True
