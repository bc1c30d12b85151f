from pathlib import Path

import pytest
from unit.training.corpora.planted import record

from services.training.corpora.corpus import Annotation, Cut, Segment
from services.training.corpora.labelled_folder import read_labelled_folder
from services.training.errors import CorpusError

COLUMNS = "path,label,speaker,sex,text_id,seconds,rate,conversation,language"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for at, name in enumerate(("a.wav", "sub/b.wav")):
        record(tmp_path / name, seed=at)
    return tmp_path


def write(folder: Path, *lines: str) -> None:
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


def refused(folder: Path) -> list[str]:
    with pytest.raises(CorpusError) as error:
        read_labelled_folder(folder).usable()
    return [line.removeprefix(f"{folder}/") for line in str(error.value).splitlines()]


def test_each_recording_is_a_segment_with_its_label_in_every_dimension(folder: Path) -> None:
    write(folder, COLUMNS, "a.wav,Anger,03,m,a01,0.2,8000,call-1,de", "sub/b.wav,very  sad,08,f,a02,,,,")
    found = read_labelled_folder(folder).usable()
    assert found.segments == (
        Segment("a.wav", "a.wav", 0, 200, "03", "call-1", sex="m", language="de", text="a01"),
        Segment("sub/b.wav", "sub/b.wav", 0, 200, "08", "08", sex="f", text="a02"),
    )
    labels = dict.fromkeys(("category", "valence", "arousal"), "very sad")
    assert found.annotations[1] == Annotation("sub/b.wav", "corpus", labels)
    assert found.annotations[0].labels["arousal"] == "anger"
    assert found.cut is Cut.BY_CORPUS


def test_a_dimension_may_have_a_column_of_its_own(folder: Path) -> None:
    write(folder, "path,speaker,category,valence", "a.wav,03,anger,negative", "sub/b.wav,03,,positive")
    found = read_labelled_folder(folder).usable()
    assert [dict(each.labels) for each in found.annotations] == [
        {"category": "anger", "valence": "negative"},
        {"valence": "positive"},
    ]


def test_every_problem_is_named_with_its_line(folder: Path) -> None:
    (folder / "empty.wav").touch()
    write(
        folder,
        COLUMNS,
        "a.wav,anger,03,,,,,,",
        "a.wav,anger,03,,,,,,",
        "sub/b.wav,,03,,,1.9,16000,,",
        "empty.wav,anger,03,,,,,,",
        "gone.wav,anger,03,,,,,,",
        ",anger,,,,,,,",
    )
    assert refused(folder) == [
        "labels.csv, line 7: no path",
        "labels.csv, line 7: no speaker",
        "empty.wav: 0 bytes; copy it again, or leave it out",
        "gone.wav: no such file; correct the path, or remove its line",
        "labels.csv, line 3: a.wav is there twice; remove one",
        "labels.csv, line 4: no label; give one, or remove the line",
        "labels.csv, line 4: sub/b.wav has 8000 Hz, not 16000; correct the line or the file",
        "labels.csv, line 4: sub/b.wav lasts 0.2 s, not 1.9; copy it again, or correct the line",
    ]


def test_a_misspelt_column_is_not_passed_over(folder: Path) -> None:
    write(folder, "path,label,speaker,sexx", "a.wav,anger,03,m")
    assert refused(folder)[0].startswith("labels.csv: unknown column 'sexx'; remove it or use one of path, speaker")


def test_no_recordings_are_no_corpus(folder: Path) -> None:
    write(folder, COLUMNS)
    assert refused(folder) == ["labels.csv: no recordings; a line each, with columns path, speaker and label"]


def test_another_word_for_a_speakers_sex_is_refused(folder: Path) -> None:
    write(folder, COLUMNS, "a.wav,anger,03,male,,,,,", "sub/b.wav,anger,08,f,,,,,")
    assert refused(folder) == ["labels.csv, line 2: sex is 'male'; write f or m, or nothing where it is not known"]
