"""`undertone corpus`, as a person types it."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
from praatio.utilities.textgrid_io import getTextgridAsStr, parseTextgridStr
from unit.training.corpora.planted import record

from services.cli import USER_ERROR, run
from services.standalone.samples import SAMPLES
from services.training.corpora.folder import read_corpus

LABELS = {"category": "calm", "valence": "neutral", "arousal": "neutral"}
MOODS = ("anger", "neutral", "sadness")


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("UNDERTONE_EPOCHS", str(tmp_path / "epochs.json"))


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Six speakers, each of whom says everything."""
    lines = ["path,label,speaker"]
    for speaker in range(6):
        for at, mood in enumerate(MOODS):
            record(tmp_path / "speech" / f"{speaker}{mood}.wav", seed=10 * speaker + at)
            lines.append(f"{speaker}{mood}.wav,{mood},{speaker:02}")
    (tmp_path / "speech" / "labels.csv").write_text("\n".join(lines))
    return tmp_path / "speech"


def undertone(*arguments: object) -> int:
    return run(["corpus", *map(str, arguments)])


def annotate(grid: Path, category: str) -> None:
    """Write a label into every window of every tier; into the first window's category another one."""
    read = parseTextgridStr(grid.read_text(), includeEmptyIntervals=True)
    windows = [(start, end) for start, end, number in read["tiers"][0]["entries"] if number]
    for tier in read["tiers"]:
        label = LABELS.get(tier["name"], "1")
        marks = [(float(start), float(end), label) for start, end in windows]
        if tier["name"] == "category":
            marks[0] = (*marks[0][:2], category)
        tier["entries"] = marks
    grid.write_text(getTextgridAsStr(read, "long_textgrid", includeBlankSpaces=True))


def test_from_calls_to_experts_verdicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, corpus, experts = tmp_path / "round-1", tmp_path / "corpus", tmp_path / "experts.csv"
    people = ("--annotator", "ann", "--annotator", "bob")
    assert undertone("prepare", *SAMPLES, "--out", out, *people, "--epochs", tmp_path / "keys.json") == 0
    assert "2 calls" in capsys.readouterr().out
    for grid in out.glob("*.TextGrid"):
        annotate(grid, "Nervous" if ".ann." in grid.name else "Annoyed")
    assert undertone("import", "textgrids", out, corpus) == 0
    assert undertone("adjudicate", corpus, experts, "--scheme", tmp_path / "own.yaml") == USER_ERROR
    (tmp_path / "own.yaml").write_text(
        "name: own\n"
        "dimensions:\n"
        "  category:\n"
        "    classes: {calm: [calm], nervous: [nervous], annoyed: [annoyed]}\n"
        "    binary: {}\n"
        "    neutral: calm\n"
        "harmonisation: {least: 1}\n"
    )
    assert undertone("adjudicate", corpus, experts, "--scheme", tmp_path / "own.yaml") == 0
    rows = list(csv.DictReader(experts.read_text().splitlines()))
    assert [row["labels"] for row in rows] == ["ann: nervous; bob: annoyed"] * 2
    with experts.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row | {"verdict": "Nervous"} for row in rows)
    assert undertone("adjudicate", corpus, experts, "--scheme", tmp_path / "own.yaml") == USER_ERROR
    assert "is there already, with verdicts perhaps" in capsys.readouterr().err
    assert undertone("adjudicate", corpus, experts, "--scheme", tmp_path / "own.yaml", "--read-back") == 0
    assert [verdict.labels for verdict in read_corpus(corpus).verdicts] == [{"category": "nervous"}] * 2


def test_pseudonyms_need_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert undertone("prepare", *SAMPLES, "--out", tmp_path / "round-1", "--annotator", "ann") == USER_ERROR
    assert "name the key epochs in UNDERTONE_EPOCHS" in capsys.readouterr().err
    assert not (tmp_path / "round-1").exists()


def test_a_corpus_is_imported_checked_and_counted(
    speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert undertone("import", "folder", speech, tmp_path / "kept") == 0
    assert "18 segments of 6 speakers, sha256 " in capsys.readouterr().out
    assert undertone("check", tmp_path / "kept") == 0
    assert "nothing found" in capsys.readouterr().out
    tables, picture = tmp_path / "tables.md", tmp_path / "plane.png"
    told = ("--scheme", "emodb", "--markdown", tables, "--png", picture)
    labels = (speech / "labels.csv").read_text().replace("neutral.wav,neutral", "neutral.wav,happiness")
    assert undertone("statistics", tmp_path / "kept", *told) == 0
    assert "| category | anger | 6 | 0.00 | emotional 0.00 |" in tables.read_text()
    assert picture.exists()
    (speech / "labels.csv").write_text(labels)
    assert undertone("statistics", speech) == 0


def test_a_confounded_corpus_is_caught_and_the_speakers_are_named(
    speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["path,label,speaker"]
    for speaker in range(6):
        lines += [f"{speaker}{mood}.wav,{'anger' if speaker < 3 else 'neutral'},0{speaker}" for mood in MOODS]
    (speech / "labels.csv").write_text("\n".join(lines))
    assert undertone("check", speech) == 1
    said = capsys.readouterr().out
    assert "category follows the speaker (Cramer's V" in said
    assert all(f"0{speaker} is {'anger' if speaker < 3 else 'neutral'} in 3 of 3" in said for speaker in range(5))


def test_a_proposal_is_a_scheme_that_the_other_commands_take(
    speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert undertone("scheme", speech, "--least", 6) == 0
    (tmp_path / "own.yaml").write_text(capsys.readouterr().out)
    assert undertone("statistics", speech, "--scheme", tmp_path / "own.yaml") == 0
    assert undertone("scheme", speech) == USER_ERROR
    assert "no dimension with two labels on 30 segments" in capsys.readouterr().err


def test_everything_unusable_is_told_in_one_run_and_nothing_written(
    speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(speech / "0anger.wav", np.zeros(1600), 8000)
    soundfile.write(speech / "1anger.wav", np.sign(np.sin(np.arange(1600))), 8000)
    (speech / "2anger.wav").write_bytes((speech / "2anger.wav").read_bytes()[:30])
    (speech / "3anger.wav").write_bytes(b"")
    soundfile.write(speech / "4anger.wav", np.full(1600, np.nan), 8000, subtype="FLOAT")
    assert undertone("import", "folder", speech, tmp_path / "kept") == USER_ERROR
    assert capsys.readouterr().err.replace(f"{speech}/", "").splitlines() == [
        "2anger.wav: corrupt, or no audio; convert it to WAV or FLAC, or leave it out",
        "3anger.wav: 0 bytes; copy it again, or leave it out",
        "4anger.wav: holds samples that are no numbers; convert it again, or leave it out",
        "0anger.wav, 0.000 to 0.200 s: silent; check its times and its channel, or leave it out",
        "1anger.wav, 0.000 to 0.200 s: 100% of it clipped; record it at a lower level, or leave it out",
    ]
    assert not (tmp_path / "kept").exists()
    for name in ("2anger.wav", "3anger.wav", "4anger.wav"):
        record(speech / name)
    assert undertone("import", "folder", speech, tmp_path / "kept", "--keep-unsound") == 0
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_labels_that_a_scheme_lacks_are_refused_when_it_is_named(
    speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert undertone("import", "folder", speech, tmp_path / "kept", "--scheme", "cc-debt") == USER_ERROR
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 18 * 3 - 6 * 2  # neutral is a valence and an arousal there
    assert "labels.csv, line 2: category is 'anger'; did you mean 'angry'; write one of calm," in lines[0]


def test_manifests_and_releases_are_imported_too(
    speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (speech / "calls.csv").write_text("path,speaker,annotator,category\n0anger.wav,c1,ann,anger\n")
    assert undertone("import", "manifest", speech / "calls.csv", tmp_path / "kept") == 0
    assert read_corpus(tmp_path / "kept").name == "calls"
    assert undertone("import", "iemocap", speech, tmp_path / "other") == USER_ERROR
    assert "name the folder that holds Session1" in capsys.readouterr().err


@pytest.mark.needs("recordings")
def test_emodb_comes_to_its_known_figures(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert undertone("statistics", recordings / "emodb4", "--scheme", "emodb") == 0
    said = capsys.readouterr().out
    for name, samples in {"anger": 127, "happiness": 71, "sadness": 62}.items():
        assert f"{name} " in said
        assert f" {samples} " in said
    assert undertone("check", recordings / "emodb4", "--scheme", "emodb") == 0


def test_verdicts_are_kept_by_an_imported_corpus_alone(
    speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "experts.csv").write_text("segment,dimension,verdict\n0anger.wav,category,sadness\n")
    told = (tmp_path / "experts.csv", "--scheme", "emodb", "--read-back")
    assert undertone("adjudicate", speech, *told) == USER_ERROR
    assert "keeps no verdicts; import it with `undertone corpus import folder` first" in capsys.readouterr().err
