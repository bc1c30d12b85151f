"""Timelines of the TextGrids are in seconds; the recording `call.wav` lasts 10 s."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from praatio.utilities.textgrid_io import getTextgridAsStr
from unit.training.corpora.planted import record

from services.training.corpora.corpus import Annotation, Cut, Segment
from services.training.corpora.textgrids import read_textgrids
from services.training.errors import CorpusError

Marks = Sequence[tuple[float, float, str]]
NAMES = ("category", "valence", "arousal")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    record(tmp_path / "call.wav", 10)
    return tmp_path


def grid(path: Path, tiers: Mapping[str, Marks], *, kind: str = "long_textgrid", encoding: str = "utf-8") -> None:
    made = [
        {"class": "IntervalTier", "name": name, "xmin": 0, "xmax": 10, "entries": list(marks)}
        for name, marks in tiers.items()
    ]
    text = getTextgridAsStr({"xmin": 0, "xmax": 10, "tiers": made}, kind, includeBlankSpaces=True)
    path.write_text(text, encoding=encoding)


def alike(*marks: tuple[float, float, str, str, str]) -> dict[str, Marks]:
    """Tiers of one segmentation: start, end, then category, valence and arousal."""
    return {name: [(mark[0], mark[1], mark[2 + at]) for mark in marks] for at, name in enumerate(NAMES)}


def refused(folder: Path) -> list[str]:
    with pytest.raises(CorpusError) as error:
        read_textgrids(folder).usable()
    return [line.replace(f"{folder}/", "") for line in str(error.value).splitlines()]


@pytest.mark.parametrize("kind", ["long_textgrid", "short_textgrid"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_two_annotators_labelled_becomes_segments(folder: Path, kind: str, encoding: str) -> None:
    one = alike((1, 4, "Calm", "Neutral", "Neutral"), (5, 9, "Angry", "Very Negative", "Excited"))
    other = alike((1.01, 4, "Calm", "Neutral", ""), (5, 8.99, "Annoyed", "Negative", "Excited"))
    grid(folder / "call.ann.TextGrid", one, kind=kind, encoding=encoding)
    grid(folder / "call.bob.TextGrid", other, kind=kind, encoding=encoding)
    found = read_textgrids(folder).usable()
    assert found.segments == (
        Segment("call.wav:1000-4000", "call.wav", 1000, 4000, "call", "call"),
        Segment("call.wav:5000-8990", "call.wav", 5000, 8990, "call", "call"),
    )
    assert found.annotations == (
        Annotation("call.wav:1000-4000", "ann", {"category": "calm", "valence": "neutral", "arousal": "neutral"}),
        Annotation("call.wav:1000-4000", "bob", {"category": "calm", "valence": "neutral"}),
        Annotation(
            "call.wav:5000-8990", "ann", {"category": "angry", "valence": "very negative", "arousal": "excited"}
        ),
        Annotation("call.wav:5000-8990", "bob", {"category": "annoyed", "valence": "negative", "arousal": "excited"}),
    )
    assert found.cut is Cut.BY_CORPUS


def test_who_speaks_may_be_said_in_a_table(folder: Path) -> None:
    grid(folder / "call.ann.TextGrid", alike((1, 4, "calm", "neutral", "neutral")))
    (folder / "recordings.csv").write_text("path,speaker,conversation,sex,language\ncall.wav,c7,call-1,f,es\n")
    (segment,) = read_textgrids(folder).usable().segments
    assert (segment.speaker, segment.conversation, segment.sex, segment.language) == ("c7", "call-1", "f", "es")


def test_a_line_of_the_table_that_is_of_no_recording_or_of_one_again_is_a_problem(folder: Path) -> None:
    """The recording would else be a speaker and a conversation of its own, and its call lie in two folds."""
    grid(folder / "call.ann.TextGrid", alike((1, 4, "calm", "neutral", "neutral")))
    (folder / "recordings.csv").write_text("path,speaker,sex\ncal.wav,c7,\ncall.wav,c7,woman\ncall.wav,c8,\n")
    assert refused(folder) == [
        "recordings.csv, line 3: sex is 'woman'; write f or m, or nothing where it is not known",
        "recordings.csv, line 2: no recording cal.wav here; correct the path, or remove the line",
        "recordings.csv, line 4: call.wav is there twice; remove one",
    ]


def test_what_is_wrong_with_tiers_labels_and_files_is_said_in_one_go(folder: Path) -> None:
    record(folder / "alone.wav", 10)
    grid(folder / "call.TextGrid", {})
    grid(folder / "gone.ann.TextGrid", {})
    grid(
        folder / "call.ann.TextGrid",
        {"Category": [(1, 4, "clam")], "mood": [(1, 4, "x")], "arousal": [(1, 4, "neutral")]},
    )
    (folder / "call.bob.TextGrid").write_text("nothing of the kind")
    assert refused(folder) == [
        "call.TextGrid: no recording goes with it; call it NAME.ANNOTATOR.TextGrid beside NAME.wav",
        "gone.ann.TextGrid: no recording goes with it; call it NAME.ANNOTATOR.TextGrid beside NAME.wav",
        "alone.wav: no alone.ANNOTATOR.TextGrid; annotate it, or leave it out",
        "call.ann.TextGrid: 0 interval tiers valence, tiers are category, mood, arousal; there must be one",
        (
            "call.ann.TextGrid, tier category, 1.000 to 4.000 s: category is 'clam'; did you mean 'calm';"
            " write one of calm, nervous, angry, annoyed, surprised, satisfied"
        ),
        "call.bob.TextGrid: no TextGrid that can be read; save it from Praat again as a text file",
    ]


def test_intervals_that_overlap_and_a_file_that_was_cut_off_are_named(folder: Path) -> None:
    path = folder / "call.ann.TextGrid"
    grid(path, alike((1, 4, "calm", "neutral", "neutral"), (4, 9, "calm", "neutral", "neutral")))
    text = path.read_text()
    at = text.index("valence")
    path.write_text(text[:at] + text[at:].replace("xmin = 4", "xmin = 3.5", 1))
    assert refused(folder)[0] == (
        "call.ann.TextGrid, tier valence, 3.500 to 9.000 s: begins before the interval at 1.000 s ends; mend it"
    )
    path.write_text(text[: text.rindex("intervals [4]")])
    assert refused(folder) == [
        (
            "call.ann.TextGrid, tier arousal, 4.000 to 9.000 s: is the last, and the tier ends at 10.000 s;"
            " the file was cut off"
        )
    ]


def test_annotators_who_cut_otherwise_are_named_with_both_places(folder: Path) -> None:
    grid(folder / "call.ann.TextGrid", alike((1, 5, "calm", "neutral", "neutral")))
    grid(
        folder / "call.bob.TextGrid",
        alike((1, 3, "calm", "neutral", "neutral"), (3, 5, "angry", "negative", "excited")),
    )
    assert refused(folder) == [
        f"call.ann.TextGrid, tier {name}, 1.000 to 5.000 s: cut otherwise than call.bob.TextGrid, tier arousal,"
        " 1.000 to 3.000 s; give all tiers the same boundaries"
        for name in sorted(NAMES)
    ]


def test_a_label_beyond_the_recordings_end_is_named(folder: Path) -> None:
    grid(folder / "call.ann.TextGrid", alike((1, 4, "calm", "neutral", "neutral")))
    record(folder / "call.wav", 3)
    assert refused(folder) == [
        "call.ann.TextGrid, tier arousal, 1.000 to 4.000 s: ends at 4000 ms, call.wav at 3000; correct the times"
    ]


def test_nothing_labelled_is_no_corpus(folder: Path) -> None:
    grid(folder / "call.ann.TextGrid", alike((1, 4, "", "", "")))
    assert refused(folder) == [f"{folder}: nothing is labelled; fill in the tiers category, valence, arousal"]


def test_a_damaged_plan_is_named(folder: Path) -> None:
    (folder / "annotation.json").write_text("{")
    assert refused(folder)[0].startswith("annotation.json: ")


#: Windows of 300 ms or more with pauses between them, and who gave each which label in each tier, if any.
WINDOWS = st.lists(st.tuples(st.integers(300, 1000), st.integers(0, 500)), min_size=1, max_size=6)
SAID = st.lists(st.lists(st.sampled_from(["", "neutral"]), min_size=3, max_size=3), min_size=12, max_size=12)


@given(WINDOWS, SAID)
@settings(max_examples=25, deadline=None)  # files take their time
def test_whatever_annotators_label_comes_back(
    tmp_path_factory: pytest.TempPathFactory, windows: list[tuple[int, int]], said: list[list[str]]
) -> None:
    folder, spans, at = tmp_path_factory.mktemp("grids"), list[tuple[int, int]](), 0
    for length, pause in windows:
        spans.append((at + pause, at + pause + length))
        at += pause + length
    record(folder / "call.wav", 10)
    menu = dict.fromkeys(NAMES, ("neutral",))
    expected: dict[tuple[str, str], set[str]] = {}
    for number, annotator in enumerate(("ann", "bob")):
        rows = said[6 * number : 6 * number + len(spans)]
        marks = [(start / 1000, end / 1000, *row) for (start, end), row in zip(spans, rows, strict=True)]
        grid(folder / f"call.{annotator}.TextGrid", alike(*marks))
        for (start, end), row in zip(spans, rows, strict=True):
            if judged := {name for name, label in zip(NAMES, row, strict=True) if label}:
                expected[f"call.wav:{start}-{end}", annotator] = judged
    found = read_textgrids(folder, menu)
    assert {(each.segment, each.annotator): set(each.labels) for each in found.corpus.annotations} == expected
    assert bool(found.problems) == (not expected)
