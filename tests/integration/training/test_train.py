"""From a folder of recordings to a bundle, by the command that a person types."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from services.cli import run
from services.emotion.bundle import DEMO, MANIFEST, load_bundle
from services.emotion.model import judge
from services.training.corpus import telephone
from services.training.train import Plan, train

#: label -> (pitch in Hz, syllables a second): nothing that a machine could miss
MOODS = {"anger": (220, 6), "happiness": (260, 4), "neutral": (120, 4), "sadness": (100, 2)}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    rows = ["path,label,speaker"]
    for speaker in range(4):
        for label, (pitch, tempo) in MOODS.items():
            for take in range(3):
                name = f"{speaker}{label}{take}.wav"
                soundfile.write(folder / name, voice(pitch + 3 * speaker + take, tempo, seed=take), 16_000)
                rows.append(f"{name},{label},{speaker:02}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder


def voice(pitch: float, tempo: float, *, seed: int) -> np.ndarray:
    time = np.arange(32_000) / 16_000
    tone = sum(np.sin(2 * np.pi * pitch * n * time) / n for n in range(1, 15))
    hiss = np.random.default_rng(seed).normal(0, 0.01, len(time))
    return 0.1 * (tone * (0.1 + np.sin(np.pi * tempo * time) ** 2) + hiss)


def test_a_trained_bundle_loads_and_knows_the_voices_it_was_shown(corpus: Path, tmp_path: Path) -> None:
    steps: list[tuple[str, int]] = []

    def progress(what: str, count: int):  # noqa: ANN202 - the inner function's type says it all
        steps.append((what, count))
        return lambda: None

    made = train(Plan(corpus, tmp_path / "bundle", name="mine", left_out=("03",)), progress)
    assert load_bundle(tmp_path / "bundle").sha256 == made.sha256
    assert made.manifest.training.speakers == ("00", "01", "02")
    assert made.manifest.training.left_out == ("03",)
    assert made.manifest.scores["category.full"]["uar"].value > 0.9
    assert steps == [("features", 36), ("leaving one speaker out", 6), ("fitting", 3)]
    unheard = judge(made, [telephone(corpus / f"3{label}0.wav") for label in MOODS])
    assert unheard.probabilities["category.full"].argmax(axis=1).tolist() == [0, 1, 2, 3]
    card = (tmp_path / "bundle" / "CARD.md").read_text()
    assert "left out: speakers 03" in card
    assert made.sha256 in card


def test_training_twice_gives_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    made = [train(Plan(corpus, tmp_path / name)) for name in ("a", "b")]
    assert made[0].sha256 == made[1].sha256


def test_recordings_that_the_bundle_would_not_judge_are_left_out_and_counted(corpus: Path, tmp_path: Path) -> None:
    for file in corpus.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    soundfile.write(tmp_path / "0anger0.wav", np.zeros(32_000), 16_000)
    made = train(Plan(tmp_path, tmp_path / "bundle"))
    assert made.manifest.training.windows == 47
    assert "not used: silent 1" in (tmp_path / "bundle" / "CARD.md").read_text()


def test_the_command_writes_a_bundle_and_shows_its_scores(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", str(corpus), str(tmp_path / "bundle"), "--name", "mine", "--leave-out", "00"]) == 0
    assert "arousal.full" in capsys.readouterr().out
    assert load_bundle(tmp_path / "bundle").manifest.name == "mine"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--leave-out", "99"], "no speaker 99 to leave out"),
        (["--name", "a b"], "--name 'a b': must be letters, digits"),
        (["--leave-out", "00", "--leave-out", "01"], "3 speakers or more are needed"),
    ],
)
def test_what_cannot_be_trained_ends_in_one_line_and_writes_nothing(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], complaint: str
) -> None:
    assert run(["train", str(corpus), str(tmp_path / "bundle"), *options]) == 2
    refusal = capsys.readouterr().err
    assert complaint in refusal
    assert len(refusal.splitlines()) == 1
    assert not (tmp_path / "bundle").exists()


@pytest.mark.needs("recordings")
def test_the_demo_bundle_is_what_its_command_makes(recordings: Path, tmp_path: Path) -> None:
    kept, made = load_bundle(DEMO), train(Plan(recordings / "emodb4", tmp_path))
    assert made.manifest.training == kept.manifest.training
    np.testing.assert_allclose(made.heads.mean, kept.heads.mean, rtol=1e-4, atol=1e-4)
    for head, measures in kept.manifest.scores.items():
        for measure in ("uar", "macro_f1"):
            assert made.manifest.scores[head][measure].value == pytest.approx(measures[measure].value, abs=0.01)
    assert (tmp_path / MANIFEST).exists()
