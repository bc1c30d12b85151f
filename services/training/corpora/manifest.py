"""A CSV manifest: a line for each segment and annotator."""

from collections.abc import Sequence
from pathlib import Path

from services.training.corpora.corpus import DIMENSIONS, EXPERTS, Annotation, Corpus, Cut, Segment, segment_id
from services.training.corpora.menu import Menu, unknown
from services.training.corpora.recordings import Found, Header, found, misplaced, overlaps, read_headers
from services.training.corpora.tables import Row, read_table
from streams.domain.schemes import normal

REQUIRED = ("path", "speaker")
OPTIONAL = (
    *("start_ms", "end_ms", "channel", "conversation", "session", "sex", "language", "text_id", "annotator"),
    *DIMENSIONS,
)


def read_manifest(table: Path, menu: Menu | None = None) -> Found:
    """The corpus that a table lists; its paths start at its own folder.

    A line without times is the whole recording; the lines of one stretch are one segment, whose annotators differ.
    What `experts` say is a verdict.
    """
    problems: list[str] = []
    rows = read_table(table, REQUIRED, OPTIONAL, problems=problems)
    if not rows and not problems:
        problems.append(f"{table}: no segments; a line each, with columns {', '.join((*REQUIRED, *OPTIONAL))}")
    headers = read_headers(table.parent, (row["path"] for row in rows), problems)
    read = [(row, _segment(row, headers.get(row["path"]), problems)) for row in rows]
    usable = [(row, segment) for row, segment in read if segment]
    segments = _distinct(usable, problems)
    problems += misplaced(list(segments), list(segments.values()), headers)
    problems += _overlapping(segments)
    said = _annotations(usable, menu, problems)
    annotations = tuple(each for each in said if each.annotator != EXPERTS)
    verdicts = tuple(each for each in said if each.annotator == EXPERTS)
    corpus = Corpus(table.stem, table.parent, tuple(segments), annotations, Cut.BY_CORPUS, verdicts)
    return found(corpus, headers, problems)


def _segment(row: Row, header: Header | None, problems: list[str]) -> Segment | None:
    whole = not row["start_ms"] and not row["end_ms"]
    start = 0 if whole else row.whole("start_ms", problems)
    end = (header.duration_ms if header else 1) if whole else row.whole("end_ms", problems)
    channel = row.whole("channel", problems) if row["channel"] else 0
    if start is None or end is None or channel is None:
        return None
    return Segment(
        id=segment_id(row["path"], start, end, channel),
        recording=row["path"],
        start_ms=start,
        end_ms=end,
        speaker=row["speaker"],
        conversation=row["conversation"] or row["speaker"],
        channel=channel,
        session=row["session"],
        sex=row["sex"],
        language=row["language"],
        text=row["text_id"],
    )


def _distinct(lines: Sequence[tuple[Row, Segment]], problems: list[str]) -> dict[Segment, str]:
    """Each segment once, with the place of its first line."""
    first: dict[str, Segment] = {}
    places: dict[Segment, str] = {}
    for row, segment in lines:
        known = first.setdefault(segment.id, segment)
        places.setdefault(known, row.place)
        if known != segment:
            problems.append(f"{row.place}: says other things of the speaker than {places[known]}; make them agree")
    return places


def _overlapping(places: dict[Segment, str]) -> list[str]:
    return [
        f"{places[after]}: begins before {places[before]} ends; give annotators the same segments"
        for before, after in overlaps(places)
    ]


def _annotations(lines: Sequence[tuple[Row, Segment]], menu: Menu | None, problems: list[str]) -> list[Annotation]:
    said, seen = list[Annotation](), set[tuple[str, str]]()
    for row, segment in lines:
        labels = {name: normal(row[name]) for name in DIMENSIONS if row[name]}
        problems += [f"{row.place}: {fault}" for fault in unknown(labels, menu)]
        if labels and not row["annotator"]:
            problems.append(f"{row.place}: labels and no annotator; say whose they are")
        elif (segment.id, row["annotator"]) in seen:
            problems.append(f"{row.place}: this segment and annotator are there twice; remove one")
        elif labels:
            said.append(Annotation(segment.id, row["annotator"], labels))
        seen.add((segment.id, row["annotator"]))
    return said
