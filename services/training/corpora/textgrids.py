"""Recordings with Praat TextGrids: `NAME.wav` and, of each annotator, `NAME.ANNOTATOR.TextGrid`."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from praatio.utilities.constants import INTERVAL_TIER
from praatio.utilities.errors import PraatioException
from praatio.utilities.textgrid_io import parseTextgridStr

from services.training.corpora.corpus import DIMENSIONS, Annotation, Corpus, Cut, Segment, segment_id
from services.training.corpora.menu import PAPER, Menu, unknown
from services.training.corpora.recordings import Found, found, misplaced, read_headers
from services.training.corpora.tables import Row, read_table
from services.training.errors import CorpusError
from streams.domain.schemes import normal

PLAN = "annotation.json"  #: what `corpus prepare` leaves for annotators and import
PEOPLE = "recordings.csv"  #: who speaks in each recording, where that is known
PEOPLE_COLUMNS = ("path", "speaker"), ("conversation", "channel", "session", "sex", "language")
AUDIO = (".wav", ".flac")
GRID = ".TextGrid"
NUDGE_MS = 20  #: boundaries that differ by less are the same one, moved by a hand


@dataclass(frozen=True, slots=True)
class Plan:
    """How windows were cut and which labels annotators were given."""

    labels: dict[str, tuple[str, ...]]
    cut: Cut


@dataclass(frozen=True, slots=True)
class Mark:
    """A label that an annotator put on a stretch of a recording."""

    start_ms: int
    end_ms: int
    grid: Path
    annotator: str
    tier: str
    label: str

    @property
    def place(self) -> str:
        """File, tier and time."""
        return f"{self.grid}, tier {self.tier}, {self.start_ms / 1000:.3f} to {self.end_ms / 1000:.3f} s"


@dataclass(frozen=True, slots=True)
class _Tier:
    """A tier as it is written; one of points has no intervals."""

    name: str
    end_ms: int
    intervals: Sequence[Mark]


def read_textgrids(folder: Path, menu: Menu | None = None) -> Found:
    """The corpus of a folder; a segment is a stretch that somebody labelled, and everybody cut alike.

    The menu is the one that `corpus prepare` left there, else the paper's, where none is given. A recording is one
    speaker and one conversation unless `recordings.csv` says otherwise.
    """
    problems: list[str] = []
    plan = _plan(folder / PLAN)
    audio = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in AUDIO}
    grids = _grids(folder, audio, problems)
    people = _people(folder, {path.name for path in audio.values()}, problems)
    segments, said, places = list[Segment](), list[Annotation](), list[str]()
    for name, path in audio.items():
        marks = list[Mark]()
        for grid, annotator in grids[name]:
            marks += _marks(grid, annotator, menu or plan.labels, problems)
        for stretch in _stretches(marks, problems):
            segment = _segment(path.name, stretch[0], people.get(path.name))
            segments.append(segment)
            places.append(stretch[0].place)
            said += _annotations(segment.id, stretch)
    headers = read_headers(folder, (path.name for path in audio.values()), problems)
    problems += misplaced(segments, places, headers)
    if not segments and not problems:
        problems.append(f"{folder}: nothing is labelled; fill in the tiers {', '.join(DIMENSIONS)}")
    corpus = Corpus(folder.resolve().name, folder, tuple(segments), tuple(said), plan.cut)
    return found(corpus, headers, problems)


def _plan(path: Path) -> Plan:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except FileNotFoundError:
        return Plan(dict(PAPER), Cut.BY_CORPUS)
    except (OSError, msgspec.DecodeError) as error:
        raise CorpusError(f"{path}: {error}; let `undertone corpus prepare` write it again, or remove it") from None


def _grids(folder: Path, audio: Mapping[str, Path], problems: list[str]) -> Mapping[str, list[tuple[Path, str]]]:
    """Recording -> each annotator's file, with their name."""
    grids = defaultdict[str, list[tuple[Path, str]]](list)
    for grid in sorted(path for path in folder.iterdir() if path.suffix == GRID):
        name, _, annotator = grid.stem.rpartition(".")
        if name in audio:
            grids[name].append((grid, annotator))
        else:
            problems.append(f"{grid}: no recording goes with it; call it NAME.ANNOTATOR{GRID} beside NAME.wav")
    problems += [
        f"{path}: no {name}.ANNOTATOR{GRID}; annotate it, or leave it out"
        for name, path in audio.items()
        if name not in grids
    ]
    return grids


def _people(folder: Path, recordings: set[str], problems: list[str]) -> dict[str, Row]:
    """Recording -> its line of the table, where there is one."""
    if not (folder / PEOPLE).exists():
        return {}
    people = dict[str, Row]()
    for row in read_table(folder / PEOPLE, *PEOPLE_COLUMNS, problems=problems):
        if row["path"] not in recordings:
            problems.append(f"{row.place}: no recording {row['path']} here; correct the path, or remove the line")
        elif row["path"] in people:
            problems.append(f"{row.place}: {row['path']} is there twice; remove one")
        elif not row["channel"] or row.whole("channel", problems) is not None:
            people[row["path"]] = row
    return people


def _marks(grid: Path, annotator: str, menu: Menu, problems: list[str]) -> list[Mark]:
    """Every label of a file; what is wrong with its tiers is added to `problems`."""
    tiers = _read(grid, annotator)
    if tiers is None:
        problems.append(f"{grid}: no TextGrid that can be read; save it from Praat again as a text file")
        return []
    marks = list[Mark]()
    for name in DIMENSIONS:
        wanted = [tier for tier in tiers if tier.name == name and tier.intervals]
        if len(wanted) == 1:
            problems += _faults(wanted[0])
            marks += [mark for mark in wanted[0].intervals if mark.label]
        else:
            there = ", ".join(tier.name for tier in tiers) or "none"
            problems.append(f"{grid}: {len(wanted)} interval tiers {name}, tiers are {there}; there must be one")
    problems += [f"{mark.place}: {fault}" for mark in marks for fault in unknown({mark.tier: mark.label}, menu)]
    return marks


def _read(grid: Path, annotator: str) -> list[_Tier] | None:
    """The tiers of a file in either of Praat's text formats; None where it is none."""
    try:
        tiers = parseTextgridStr(_text(grid), includeEmptyIntervals=True)["tiers"]
        return [_tier(grid, annotator, tier) for tier in tiers]
    except (PraatioException, ValueError, LookupError, TypeError, AttributeError):
        return None


def _text(grid: Path) -> str:
    """Praat writes UTF-8, or UTF-16 with a mark of its byte order."""
    raw = grid.read_bytes()
    return raw.decode("utf-16" if raw[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig")


def _tier(grid: Path, annotator: str, tier: Mapping[str, Any]) -> _Tier:
    name, entries = normal(tier["name"]), tier["entries"] if tier["class"] == INTERVAL_TIER else ()
    intervals = [Mark(_ms(start), _ms(end), grid, annotator, name, normal(label)) for start, end, label in entries]
    return _Tier(name, _ms(tier["xmax"]), intervals)


def _ms(seconds: str | float) -> int:
    return round(float(seconds) * 1000)


def _faults(tier: _Tier) -> Iterator[str]:
    for before, after in pairwise(tier.intervals):
        if after.start_ms < before.end_ms:
            yield f"{after.place}: begins before the interval at {before.start_ms / 1000:.3f} s ends; mend it"
    last = tier.intervals[-1]
    if last.end_ms < tier.end_ms - NUDGE_MS:
        yield f"{last.place}: is the last, and the tier ends at {tier.end_ms / 1000:.3f} s; the file was cut off"


def _stretches(marks: Sequence[Mark], problems: list[str]) -> list[list[Mark]]:
    """The labels of each segment together; labels whose stretches differ are a problem."""
    stretches = list[list[Mark]]()
    for mark in sorted(marks, key=lambda each: (each.start_ms, each.end_ms, each.grid, each.tier)):
        first = stretches[-1][0] if stretches else None
        if first and _same(first, mark):
            stretches[-1].append(mark)
        elif first and mark.start_ms < first.end_ms - NUDGE_MS:
            problems.append(f"{mark.place}: cut otherwise than {first.place}; give all tiers the same boundaries")
        else:
            stretches.append([mark])
    return stretches


def _same(one: Mark, other: Mark) -> bool:
    return max(abs(one.start_ms - other.start_ms), abs(one.end_ms - other.end_ms)) <= NUDGE_MS


def _segment(recording: str, first: Mark, person: Row | None) -> Segment:
    known = person.cells if person else {}
    own = Path(recording).stem
    channel = int(known.get("channel") or 0)
    return Segment(
        id=segment_id(recording, first.start_ms, first.end_ms, channel),
        recording=recording,
        start_ms=first.start_ms,
        end_ms=first.end_ms,
        speaker=known.get("speaker") or own,
        conversation=known.get("conversation") or own,
        channel=channel,
        session=known.get("session", ""),
        sex=known.get("sex", ""),
        language=known.get("language", ""),
    )


def _annotations(segment: str, marks: Sequence[Mark]) -> Iterator[Annotation]:
    for annotator in sorted({mark.annotator for mark in marks}):
        yield Annotation(segment, annotator, {mark.tier: mark.label for mark in marks if mark.annotator == annotator})
