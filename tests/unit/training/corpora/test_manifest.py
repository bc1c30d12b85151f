from pathlib import Path

import pytest
from unit.training.corpora.planted import record

from services.training.corpora.corpus import Annotation, Segment
from services.training.corpora.manifest import read_manifest
from services.training.corpora.menu import PAPER
from services.training.errors import CorpusError

COLUMNS = "path,speaker,start_ms,end_ms,conversation,annotator,category,valence,arousal"


def written(folder: Path, *lines: str, columns: str = COLUMNS) -> Path:
    (folder / "calls.csv").write_text("\n".join([columns, *lines]) + "\n")
    return folder / "calls.csv"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    record(tmp_path / "a.wav", 2)
    return tmp_path


def refused(table: Path) -> list[str]:
    with pytest.raises(CorpusError) as error:
        read_manifest(table, PAPER).usable()
    return [line.removeprefix(f"{table.parent}/") for line in str(error.value).splitlines()]


def test_lines_of_one_stretch_are_one_segment_and_experts_give_verdicts(folder: Path) -> None:
    found = read_manifest(
        written(
            folder,
            "a.wav,c1,0,1000,call-1,ann,Calm,neutral,neutral",
            "a.wav,c1,0,1000,call-1,bob,Annoyed,,excited",
            "a.wav,c1,0,1000,call-1,experts,annoyed,,",
            "a.wav,c1,1000,2000,call-1,,,,",
        ),
        PAPER,
    ).usable()
    first = Segment("a.wav:0-1000", "a.wav", 0, 1000, "c1", "call-1")
    assert found.segments == (first, Segment("a.wav:1000-2000", "a.wav", 1000, 2000, "c1", "call-1"))
    assert found.annotations == (
        Annotation(first.id, "ann", {"category": "calm", "valence": "neutral", "arousal": "neutral"}),
        Annotation(first.id, "bob", {"category": "annoyed", "arousal": "excited"}),
    )
    assert found.verdicts == (Annotation(first.id, "experts", {"category": "annoyed"}),)


def test_a_line_without_times_is_the_whole_recording(folder: Path) -> None:
    table = written(folder, "a.wav,c1,ann,calm", columns="path,speaker,annotator,category")
    assert read_manifest(table).usable().segments == (Segment("a.wav:0-2000", "a.wav", 0, 2000, "c1", "c1"),)


def test_every_problem_is_named_with_its_line(folder: Path) -> None:
    (folder / "broken.wav").write_bytes(b"no audio at all")
    table = written(
        folder,
        "a.wav,c1,0,1000,call-1,ann,Calm,neutral,neutral",
        "a.wav,c2,0,1000,call-1,bob,Calm,neutral,neutral",
        "a.wav,c1,0,1000,call-1,ann,calm,,",
        "a.wav,c1,500,1500,call-1,bob,anoyed,,",
        "a.wav,c1,1500,2500,call-1,,calm,,",
        "a.wav,c1,1.5,2000,call-1,ann,calm,,",
        "broken.wav,c1,0,1000,call-1,ann,calm,,",
        ",c1,0,1000,call-1,ann,calm,,",
    )
    assert refused(table) == [
        "calls.csv, line 9: no path",
        "broken.wav: corrupt, or no audio; convert it to WAV or FLAC, or leave it out",
        "calls.csv, line 7: start_ms is '1.5'; write a whole number from 0",
        "calls.csv, line 3: says other things of the speaker than calls.csv, line 2; make them agree".replace(
            "than calls", f"than {folder}/calls"
        ),
        "calls.csv, line 6: ends at 2500 ms, a.wav at 2000; correct the times",
        "calls.csv, line 5: begins before calls.csv, line 2 ends; give annotators the same segments".replace(
            "before calls", f"before {folder}/calls"
        ),
        "calls.csv, line 4: this segment and annotator are there twice; remove one",
        (
            "calls.csv, line 5: category is 'anoyed'; did you mean 'annoyed'; write one of"
            " calm, nervous, angry, annoyed, surprised, satisfied"
        ),
        "calls.csv, line 6: labels and no annotator; say whose they are",
    ]


@pytest.mark.parametrize("sex", ["f", "m", ""])
def test_a_speakers_sex_is_one_of_two_or_not_known(folder: Path, sex: str) -> None:
    table = written(folder, f"a.wav,c1,{sex}", columns="path,speaker,sex")
    assert read_manifest(table).usable().segments[0].sex == sex


@pytest.mark.parametrize("sex", ["female", "M", "w", "1", "unknown"])
def test_another_word_for_a_speakers_sex_is_refused(folder: Path, sex: str) -> None:
    table = written(folder, "a.wav,c1,f", f"a.wav,c1,{sex}", columns="path,speaker,sex")
    assert refused(table)[0] == f"calls.csv, line 3: sex is '{sex}'; write f or m, or nothing where it is not known"


def test_an_empty_manifest_says_which_columns_there_are(folder: Path) -> None:
    assert refused(written(folder))[0].startswith("calls.csv: no segments; a line each, with columns path, speaker")
