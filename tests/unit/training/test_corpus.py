from pathlib import Path

import numpy as np
import pytest
import soundfile

from services.training.corpus import fingerprint, read_corpus, telephone
from services.training.errors import CorpusError


def write(folder: Path, lines: list[str]) -> None:
    (folder / "labels.csv").write_text("\n".join(["path,label,speaker", *lines]) + "\n")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, np.zeros(1600), 16_000)
    write(tmp_path, ["a.wav,anger,01", "b.wav,neutral,02"])
    return tmp_path


def test_recordings_are_what_the_table_says(corpus: Path) -> None:
    found = read_corpus(corpus)
    assert [(item.path.name, item.label, item.speaker) for item in found] == [
        ("a.wav", "anger", "01"),
        ("b.wav", "neutral", "02"),
    ]


def test_every_problem_is_reported_in_one_run_with_its_line(corpus: Path) -> None:
    write(corpus, ["a.wav,anger,01", "c.wav,anger,01", "b.wav,,", ",anger,01"])
    with pytest.raises(CorpusError) as refused:
        read_corpus(corpus)
    assert [line.split("labels.csv, ")[1] for line in str(refused.value).splitlines()] == [
        "line 3: c.wav: no such file",
        "line 4: no label",
        "line 4: no speaker",
        "line 5: no path",
    ]


def test_a_folder_without_a_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"labels\.csv: cannot be read"):
        read_corpus(tmp_path)


def test_an_empty_table_is_refused(corpus: Path) -> None:
    write(corpus, [])
    with pytest.raises(CorpusError, match="no recordings"):
        read_corpus(corpus)


def test_the_fingerprint_follows_content_and_labels_but_not_the_order(corpus: Path) -> None:
    before = fingerprint(corpus, read_corpus(corpus))
    write(corpus, ["b.wav,neutral,02", "a.wav,anger,01"])
    assert fingerprint(corpus, read_corpus(corpus)) == before
    write(corpus, ["b.wav,neutral,02", "a.wav,sadness,01"])
    relabelled = fingerprint(corpus, read_corpus(corpus))
    soundfile.write(corpus / "a.wav", np.ones(1600) / 2, 16_000)
    assert len({before, relabelled, fingerprint(corpus, read_corpus(corpus))}) == 3


def test_a_recording_arrives_as_a_telephone_passes_it(tmp_path: Path) -> None:
    time = np.arange(16_000) / 16_000
    soundfile.write(tmp_path / "a.wav", 0.3 * np.sin(2 * np.pi * 440 * time), 16_000)
    heard = telephone(tmp_path / "a.wav")
    assert heard.dtype == np.float32
    assert len(heard) == 8000
    assert len(np.unique(heard)) <= 256  # mu-law's levels
    assert heard.std() == pytest.approx(0.3 / np.sqrt(2), rel=0.02)


def test_a_file_that_is_no_audio_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"a\.wav: cannot be read as audio"):
        telephone(tmp_path / "a.wav")
