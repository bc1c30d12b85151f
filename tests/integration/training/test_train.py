"""From a folder of recordings to a bundle, by the command that a person types."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from services.cli import run
from services.emotion.abstention import Band, out_of_domain, placed, refer
from services.emotion.bundle import DEMO, load_bundle
from services.emotion.features.registry import open_feature
from services.emotion.heads import FAR
from services.emotion.manifest import MANIFEST, conversation_mark
from services.emotion.model import judge
from services.training import evaluate
from services.training.audio import TELEPHONE_RATE, heard
from services.training.copies import Copies
from services.training.corpora.folder import read_corpus
from services.training.errors import TrainingError
from services.training.evaluate import folds, held_out
from services.training.examples import Hearing, chosen, examples, versions
from services.training.machines import scaler
from services.training.measures import confusion, macro_f1, uar
from services.training.train import Plan, train

#: label -> (pitch in Hz, syllables a second): nothing that a machine could miss
MOODS = {"anger": (220, 6), "happiness": (260, 4), "neutral": (120, 4), "sadness": (100, 2)}

SITE = """
name: site
language: de
bundle: site
scheme:
  name: site
  dimensions:
    category:
      classes: {cross: [anger], calm: [happiness, neutral, sadness]}
      binary: {}
      neutral: calm
  harmonisation: {least: 30}
rules: []
"""


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "RESAMPLES", 100)


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


def quiet() -> None:
    """A progress bar that nobody watches."""


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
    assert made.manifest.training.speakers == 3
    assert made.manifest.training.left_out == ("03",)
    assert made.manifest.scores["category.full"]["uar"].value > 0.9
    described = steps.pop(1)
    assert described[0].startswith("functionals-")
    assert described[1] == 36
    assert steps == [("hearing", 36), ("leaving one speaker out", 6), ("fitting", 3), ("intervals", 5)]
    segments = {each.recording: each for each in read_corpus(corpus).segments}
    windows = [heard(corpus, segments[f"3{label}0.wav"], TELEPHONE_RATE, Band.TELEPHONE) for label in MOODS]
    unheard = judge(made, windows)
    assert unheard.classes["category.full"].tolist() == [0, 1, 2, 3]
    assert made.manifest.uncalibrated == tuple(made.manifest.scheme.heads)  # nine windows of a class are not enough
    card = " ".join((tmp_path / "bundle" / "CARD.md").read_text().split())
    assert "left out: speakers 03" in card
    assert "holds the features of every window that it was trained on" in card
    assert "no probabilities" in card
    assert made.sha256 in card


@pytest.mark.parametrize("copies", [Copies.NONE, Copies.LINES_AND_SPEEDS])
def test_training_twice_gives_the_same_bytes(corpus: Path, tmp_path: Path, copies: Copies) -> None:
    made = [train(Plan(corpus, tmp_path / name, copies=copies, scored=False)) for name in ("a", "b")]
    assert made[0].sha256 == made[1].sha256


def test_copies_of_a_window_are_learnt_from_and_no_window_is_compared_with_them(corpus: Path, tmp_path: Path) -> None:
    """The reference is the windows alone, and so is what counts as one; the copies are among the support vectors."""
    announced: list[str] = []

    def progress(what: str, _count: int):  # noqa: ANN202 - as above
        announced.append(what)
        return lambda: None

    made = train(Plan(corpus, tmp_path, copies=Copies.LINES, cache=tmp_path / "cache", scored=False), progress)
    assert [what.split(", ")[1] for what in announced if what.startswith("functionals-")] == [
        "telephone band",
        "telephone band line1",
        "telephone band line2",
    ]
    assert made.manifest.training.copies == ("line1", "line2")
    assert len(made.reference.points) == made.manifest.training.windows == 48
    windows = {np.clip(row, -FAR, FAR).tobytes() for row in made.reference.points}
    assert 0 < sum(row.tobytes() not in windows for row in made.heads.support) <= 96
    card = " ".join((tmp_path / "CARD.md").read_text().split())
    assert "learnt from copies of each segment (line1, line2)" in card
    assert "Nobody has scored this bundle." in card


def test_vectors_that_a_cache_holds_are_not_computed_again(corpus: Path, tmp_path: Path) -> None:
    announced: list[str] = []

    def progress(what: str, _count: int):  # noqa: ANN202 - as above
        announced.append(what)
        return lambda: None

    made = [train(Plan(corpus, tmp_path / name, cache=tmp_path / "cache"), progress) for name in ("a", "b")]
    assert made[0].sha256 == made[1].sha256
    assert sum(what.startswith("functionals-") for what in announced) == 1


def test_recordings_that_the_bundle_would_not_judge_are_left_out_and_counted(corpus: Path, tmp_path: Path) -> None:
    for file in corpus.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    soundfile.write(tmp_path / "0anger0.wav", np.zeros(32_000), 16_000)
    made = train(Plan(tmp_path, tmp_path / "bundle"))
    assert made.manifest.training.windows == 47
    assert "not used: silent 1" in " ".join((tmp_path / "bundle" / "CARD.md").read_text().split())


def test_the_command_writes_a_bundle_and_shows_its_scores(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--name", "mine", "--leave-out", "00", "--copies", "lines"]
    assert run(["train", str(corpus), str(tmp_path / "bundle"), *options]) == 0
    assert "arousal.full" in capsys.readouterr().out
    manifest = load_bundle(tmp_path / "bundle").manifest
    assert (manifest.name, manifest.training.copies) == ("mine", Copies.LINES.kinds)


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


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--feature", "mood"], "feature 'mood': there is none of this name; choose one of"),
        (["--feature", "wavlm"], "feature 'wavlm': needs a WavLM in transformers' format"),
        (["--layer", "1"], "--layer 1: the feature has 1 layer(s), counted from 0"),
        (["--scheme", "none"], "none: no built-in scheme; name one of emodb"),
        (["--scheme", "none.yaml"], "none.yaml: cannot be read"),
        (["--scheme", "cc-debt"], "scheme cc-debt has no class of category for label 'anger'"),
    ],
)
def test_a_feature_or_scheme_that_is_not_there_ends_in_one_line(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], complaint: str
) -> None:
    assert run(["train", str(corpus), str(tmp_path / "bundle"), *options]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


def test_a_bundle_that_cannot_be_written_is_refused_before_anything_is_heard(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle").write_text("")
    steps: list[str] = []

    def progress(what: str, _steps: int) -> Callable[[], None]:
        steps.append(what)
        return lambda: None

    with pytest.raises(TrainingError, match="bundle: is a file; name a folder for the bundle"):
        train(Plan(corpus, tmp_path / "bundle"), progress)
    assert not steps


def trained(corpus: Path, folder: Path, scheme: str) -> tuple[int, Path]:
    """The exit status of training on a use case's scheme, and the bundle's folder."""
    (folder / "site.yaml").write_text(scheme)
    options = ["--scheme", str(folder / "site.yaml"), "--band", "wide", "--name", "site"]
    return run(["train", str(corpus), str(folder / "bundle"), *options]), folder / "bundle"


def test_a_use_case_brings_its_scheme_and_its_bundle_may_score_customers(corpus: Path, tmp_path: Path) -> None:
    status, folder = trained(corpus, tmp_path, SITE.replace("30", "5"))
    manifest = load_bundle(folder).manifest
    assert status == 0
    assert manifest.scheme.heads == {"category.full": ("cross", "calm")}
    assert (manifest.band, manifest.limits.demo_only) == (Band.WIDE, False)


def test_a_class_that_is_too_rare_is_not_left_out_in_silence(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, folder = trained(
        corpus,
        tmp_path,
        SITE.replace("calm: [", "sad: [sadness], calm: [").replace(", sadness]}", "]}").replace("30", "13"),
    )
    assert status == 2
    assert "least" in capsys.readouterr().err
    assert not folder.exists()


def test_conversations_are_left_out_whole_and_the_bundle_knows_them_again(corpus: Path, tmp_path: Path) -> None:
    rows = (corpus / "labels.csv").read_text().splitlines()
    for file in corpus.glob("*.wav"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    calls = [f"{row},call{number % 4}" for number, row in enumerate(rows[1:])]
    (tmp_path / "labels.csv").write_text("\n".join([f"{rows[0]},conversation", *calls]))
    training = train(Plan(tmp_path, tmp_path / "bundle")).manifest.training
    assert "call1" not in (tmp_path / "bundle" / MANIFEST).read_text()
    assert training.grouped == "conversation"
    assert training.conversations == tuple(conversation_mark(f"call{number}") for number in range(4))


@pytest.mark.needs("recordings")
def test_at_most_two_in_a_hundred_windows_of_unheard_speakers_are_out_of_domain(recordings: Path) -> None:
    corpus, demo = read_corpus(recordings / "emodb4"), load_bundle(DEMO).manifest
    speakers, feature = np.array([each.speaker for each in corpus.segments]), open_feature(demo.feature.name)

    def described(copy: str) -> np.ndarray:
        windows = [heard(corpus.recordings, each, TELEPHONE_RATE, Band.TELEPHONE, copy) for each in corpus.segments]
        return feature.vectors(windows)[:, 0]

    versions = np.stack([described(copy) for copy in ("", *demo.training.copies)], axis=1)
    out = 0
    for test in folds(speakers):
        mean, scale = scaler(versions[~test].reshape(-1, versions.shape[2]))
        _, groups = np.unique(speakers[~test], return_inverse=True)
        reference = refer(placed(versions[~test, 0], mean, scale), groups.astype(np.int32))
        out += int(out_of_domain(reference, placed(versions[test, 0], mean, scale)).sum())
    assert len(versions) == 339
    assert out / 339 <= 0.02


@pytest.mark.needs("recordings")
def test_the_demo_bundle_is_what_its_command_makes(recordings: Path, tmp_path: Path) -> None:
    """As `reproduce.sh` has it, and it says of itself how well it does; the calibration is not fitted again."""
    kept = load_bundle(DEMO)
    design = {"feature": "functionals-2", "copies": Copies.LINES_AND_SPEEDS, "cache": tmp_path / "cache"}
    plan = Plan(recordings / "emodb4", tmp_path / "bundle", scored=False, **design)
    made = train(plan)
    assert made.manifest.training == kept.manifest.training
    assert made.manifest.feature == kept.manifest.feature
    np.testing.assert_allclose(made.heads.mean, kept.heads.mean, rtol=1e-4, atol=1e-4)
    hearing = Hearing(made.feature, plan.band, plan.limits, plan.copies)
    found = examples(chosen(plan.corpus, plan.scheme, ()), hearing, tmp_path / "cache", lambda _what, _steps: quiet)
    for head, decided in held_out(plan.scheme, versions(found, 0), found.wanted, found.groups, quiet).items():
        table = confusion(found.wanted[head], decided.argmax(axis=1), decided.shape[1])
        scores = kept.manifest.scores[head]
        assert float(uar(table)) == pytest.approx(scores["uar"].value, abs=0.01)
        assert float(macro_f1(table)) == pytest.approx(scores["macro_f1"].value, abs=0.01)
