import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.training.corpora.planted import corpus, record

from services.training.corpora import folder as folders
from services.training.corpora.corpus import DIMENSIONS, Annotation, Corpus, Cut, Segment
from services.training.corpora.folder import fingerprint, read_corpus, write_corpus, write_verdicts
from services.training.errors import CorpusError

ROWS = [("01", "anger"), ("01", "neutral"), ("02", "anger")]
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"]), min_size=1, max_size=8)


@pytest.fixture
def made(tmp_path: Path) -> Corpus:
    return replace(corpus(tmp_path / "speech", ROWS), verdicts=(Annotation("s1", "experts", {"category": "anger"}),))


def refused(folder: Path) -> list[str]:
    with pytest.raises(CorpusError) as error:
        read_corpus(folder)
    return [line.removeprefix(f"{folder}/") for line in str(error.value).splitlines()]


def test_a_corpus_is_read_as_it_was_written(made: Corpus, tmp_path: Path) -> None:
    write_corpus(tmp_path / "kept", made)
    assert read_corpus(tmp_path / "kept") == made
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == [
        "annotations.csv",
        "corpus.json",
        "segments.csv",
        "verdicts.csv",
    ]
    assert json.loads((tmp_path / "kept" / "corpus.json").read_text())["recordings"] == "../speech"


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5, unique=True), TEXTS)
@settings(max_examples=30, deadline=None)  # files take their time
def test_whatever_is_in_a_corpus_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], text: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    made = corpus(folder / "speech", rows, text=[text] * len(rows))
    write_corpus(folder / "kept", made)
    assert read_corpus(folder / "kept") == made


def test_a_folder_and_its_recordings_move_together(made: Corpus, tmp_path: Path) -> None:
    write_corpus(tmp_path / "speech" / "corpus", made)
    (tmp_path / "speech").rename(tmp_path / "moved")
    assert read_corpus(tmp_path / "moved" / "corpus").recordings == tmp_path / "moved"


def test_a_folder_that_holds_something_is_left_as_it_is(made: Corpus, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is there already; name a new folder"):
        write_corpus(tmp_path / "speech", made)
    assert [path.name for path in (tmp_path / "speech").iterdir()] == ["all.wav"]


def test_a_write_that_fails_leaves_nothing(made: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folders, "write_table", full)
    with pytest.raises(OSError, match="No space"):
        write_corpus(tmp_path / "kept", made)
    assert [path.name for path in tmp_path.iterdir()] == ["speech"]


def test_verdicts_are_replaced(made: Corpus, tmp_path: Path) -> None:
    write_corpus(tmp_path / "kept", made)
    verdicts = (Annotation("s2", "experts", {"valence": "negative"}),)
    write_verdicts(tmp_path / "kept", verdicts)
    assert read_corpus(tmp_path / "kept") == replace(made, verdicts=verdicts)


def test_every_problem_of_every_file_is_one_line_with_file_and_line(made: Corpus, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    write_corpus(folder, made)
    record(tmp_path / "speech" / "short.wav", 0.1)
    (tmp_path / "speech" / "empty.wav").touch()
    (tmp_path / "speech" / "broken.wav").write_bytes(b"RIFF, and then nothing of the kind")
    with (folder / "segments.csv").open("a") as table:
        table.write("s0,all.wav,0,200,01,01,0,,,,\n")
        table.write("s4,short.wav,0,200,01,01,1,,,,\n")
        table.write("s5,empty.wav,0,200,01,01,0,,,,\n")
        table.write("s6,gone.wav,0,200,01,01,0,,,,\n")
        table.write("s7,broken.wav,200,100,01,01,0,,,,\n")
        table.write("s8,all.wav,-1,x,01,01,0,,,,\n")
        table.write("s9,all.wav,0,200,,,0,,,,\n")
        table.write("s9,all.wav,0,200,01,01,0,,,,,\n")
    with (folder / "annotations.csv").open("a") as table:
        table.write("s99,a,anger,,\ns0,a,anger,,\n")
    (folder / "verdicts.csv").write_text("segment,annotator,mood\n")
    lines = refused(folder)
    speech = tmp_path / "speech"
    assert lines == [
        "segments.csv, line 11: no speaker",
        "segments.csv, line 11: no conversation",
        "segments.csv, line 12: more cells than columns; put commas in quotes",
        "segments.csv, line 10: start_ms is '-1'; write a whole number from 0",
        "segments.csv, line 10: end_ms is 'x'; write a whole number from 0",
        "segments.csv, line 5: segment s0 is there twice; remove one",
        f"{speech}/broken.wav: corrupt, or no audio; convert it to WAV or FLAC, or leave it out",
        f"{speech}/empty.wav: 0 bytes; copy it again, or leave it out",
        f"{speech}/gone.wav: no such file; correct the path, or remove its line",
        "segments.csv, line 6: ends at 200 ms, short.wav at 100; correct the times",
        "segments.csv, line 6: channel 1, short.wav has 1; count from 0",
        "segments.csv, line 9: ends at 100 ms, before it begins; correct the times",
        "annotations.csv, line 5: no segment 's99' in segments.csv; correct it, or remove the line",
        "annotations.csv, line 6: segment s0 by a is there twice; remove one",
        "verdicts.csv: unknown column 'mood'; remove it or use one of segment, annotator, category, valence, arousal",
    ]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("corpus.json", "{", "corpus.json: "),
        ("corpus.json", '{"name": "x", "recordings": ".", "cut": "by hand"}', "Invalid enum value 'by hand'"),
        ("segments.csv", "id,recording\n", "no column start_ms, end_ms, speaker, conversation; the columns are id"),
        ("segments.csv", "id,recording,start_ms,end_ms,speaker,conversation\n", "no segments; import the corpus again"),
        ("annotations.csv", "\0", "annotations.csv: "),
    ],
)
def test_a_file_that_cannot_be_used_is_named(made: Corpus, tmp_path: Path, file: str, text: str, message: str) -> None:
    write_corpus(tmp_path / "kept", made)
    (tmp_path / "kept" / file).write_text(text)
    assert message in refused(tmp_path / "kept")[0]


def test_a_folder_that_is_no_corpus_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path) == [
        "corpus.json: No such file or directory; a corpus is what `undertone corpus import` writes"
    ]


def test_a_folder_with_labels_alone_is_read_too(tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    (tmp_path / "labels.csv").write_text("path,label,speaker\na.wav,anger,01\n")
    assert read_corpus(tmp_path).segments == (Segment("a.wav", "a.wav", 0, 200, "01", "01"),)


def test_the_fingerprint_follows_segments_labels_verdicts_and_bytes_and_not_the_order(made: Corpus) -> None:
    before = fingerprint(made)
    turned = replace(made, segments=made.segments[::-1], annotations=made.annotations[::-1])
    assert fingerprint(turned) == before
    said = made.annotations[0]
    other = {
        fingerprint(
            replace(made, annotations=(replace(said, labels=dict.fromkeys(DIMENSIONS, "x")), *made.annotations[1:]))
        ),
        fingerprint(replace(made, segments=(replace(made.segments[0], end_ms=199), *made.segments[1:]))),
        fingerprint(replace(made, verdicts=())),
    }
    record(made.recordings / "all.wav", 0.6, seed=1)
    other.add(fingerprint(made))
    assert len(other | {before}) == 5


def test_a_copy_elsewhere_has_the_same_fingerprint(made: Corpus, tmp_path: Path) -> None:
    before = fingerprint(made)
    (tmp_path / "speech").rename(tmp_path / "moved")
    assert fingerprint(replace(made, recordings=tmp_path / "moved", name="other", cut=Cut.BY_RULE)) == before
