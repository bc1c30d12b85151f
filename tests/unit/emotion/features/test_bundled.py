"""A bundle whose feature has weights and layers, by machines or networks: from a corpus to what it says of a window."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from services.cli import run
from services.emotion.bundle import load_bundle
from services.emotion.features.sources import Model
from services.emotion.manifest import BundleError
from services.emotion.model import judge
from services.training import evaluate, learner
from services.training.errors import TrainingError
from services.training.train import Plan, train

STRIDES = {"conv_stride": (20, 16), "conv_kernel": (40, 16)}  #: 20 ms a frame
MOODS = {"anger": 220, "happiness": 260, "neutral": 120, "sadness": 100}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    rows = ["path,label,speaker"]
    for speaker in range(3):
        for label, pitch in MOODS.items():
            for take in range(2):
                name = f"{speaker}{label}{take}.wav"
                soundfile.write(folder / name, voice(pitch + 3 * speaker + take), 16_000)
                rows.append(f"{name},{label},{speaker}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder


def voice(pitch: float) -> np.ndarray:
    time = np.arange(20_000) / 16_000
    tone = sum(np.sin(2 * np.pi * pitch * n * time) / n for n in range(1, 15))
    return 0.1 * tone * (0.1 + np.sin(np.pi * 4 * time) ** 2)


def test_a_bundle_opens_its_model_hears_the_telephones_rate_and_notices_other_weights(
    corpus: Path, saved: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "RESAMPLES", 10)
    model = Model(str(saved("wavlm")))
    made = train(Plan(corpus, tmp_path / "bundle", feature="wavlm", models=(model,)))

    assert made.manifest.feature.models == (model,)
    assert 0 <= made.manifest.feature.layer < 4
    assert (made.manifest.rate, made.feature.rate) == (8000, 16_000)
    window = voice(220)[::2].astype(np.float32)
    judged = judge(load_bundle(tmp_path / "bundle"), [window, np.zeros(20_000, np.float32)])
    assert judged.reasons[1] == "silent"
    assert judged.classes["category.full"][0] in range(4)
    assert "layer" in (tmp_path / "bundle" / "CARD.md").read_text()

    torch.manual_seed(7)
    saved("wavlm", hidden_size=32)
    with pytest.raises(
        BundleError, match=r"bundle\.json: made for feature wavlm of version 1 \w+, here is 1 \w+; train it"
    ):
        load_bundle(tmp_path / "bundle")


class KilledError(Exception):
    """What ends a run in the middle."""


def killed_at(what: str) -> Callable[[str, int], Callable[[], None]]:
    """Progress that ends the run when it comes to this."""

    def progress(told: str, _steps: int) -> Callable[[], None]:
        if told.startswith(what):
            raise KilledError
        return lambda: None

    return progress


def test_a_bundle_of_networks_is_trained_through_kills_to_what_a_whole_run_makes_and_judges(
    corpus: Path, saved: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "RESAMPLES", 10)
    monkeypatch.setattr(learner, "Recipe", partial(learner.Recipe, epochs=2, rate=3e-3))
    plan = Plan(corpus, tmp_path / "whole", feature="wav2vec2", models=(Model(str(saved("wav2vec2", **STRIDES))),))
    plan = replace(plan, head="dnn-sp", cache=tmp_path / "cache", layer=1)
    whole = train(replace(plan, cache=None))

    again = replace(plan, out=tmp_path / "again")
    for place in ("fit 1 of 4, epoch 2", "fit 3 of 4, epoch 1", "fit 4 of 4, epoch 2", "intervals"):
        with pytest.raises(KilledError):
            train(again, killed_at(place))
        assert not again.out.exists()
    asked: list[str] = []

    def progress(told: str, _steps: int) -> Callable[[], None]:
        asked.append(told)
        return lambda: None

    made = train(again, progress)
    assert made.sha256 == whole.sha256
    assert not any("learn" in told for told in asked)  # everything was learnt before
    assert list((tmp_path / "cache" / "networks").iterdir()) == []  # and is not kept twice

    manifest = load_bundle(again.out).manifest
    assert (manifest.head, manifest.feature.layer, manifest.training.windows) == ("dnn-sp", 1, 24)
    assert manifest.uncalibrated == tuple(manifest.scheme.heads)  # six windows of a class are not enough
    assert all(measures.keys() == {"uar", "macro_f1"} for measures in manifest.scores.values())
    assert "torch" in manifest.made_with
    judged = judge(made, [voice(220)[::2].astype(np.float32), np.zeros(20_000, np.float32)])
    assert judged.reasons[1] == "silent"
    assert judged.classes["category.full"][0] in range(4)

    card = " ".join((again.out / "CARD.md").read_text().split())
    for words in (
        "DNN-SP networks, one a head",
        "on the frames of all 4 hidden layers, 16 values of `wav2vec2`",
        "the networks never heard",
        "holds the mean frame of every window",
        "value of the mean frame in layer 1",
        made.sha256,
    ):
        assert words in card
    assert "support vector" not in card


def test_the_command_trains_networks_that_pool_by_attention(
    corpus: Path, saved: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "RESAMPLES", 10)
    monkeypatch.setattr(learner, "Recipe", partial(learner.Recipe, epochs=1))
    described = ["--feature", "wav2vec2", "--model", str(saved("wav2vec2", **STRIDES)), "--layer", "3"]
    assert run(["train", str(corpus), str(tmp_path / "bundle"), "--head", "dnn-attcp", *described]) == 0
    assert load_bundle(tmp_path / "bundle").manifest.head == "dnn-attcp"
    assert "DNN-AttCP networks" in (tmp_path / "bundle" / "CARD.md").read_text()


def test_networks_are_refused_a_feature_without_frames_before_anything_is_heard(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"--head dnn-sp: feature .* gives no frames; choose wav2vec2 or wavlm"):
        train(Plan(corpus, tmp_path / "bundle", head="dnn-sp"), killed_at("hearing"))
    assert not (tmp_path / "bundle").exists()
