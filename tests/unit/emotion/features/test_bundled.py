"""A bundle whose feature has weights and layers, from a corpus to what it says of a window."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from services.emotion.bundle import load_bundle
from services.emotion.features.sources import Model
from services.emotion.manifest import BundleError
from services.emotion.model import judge
from services.training import evaluate
from services.training.train import Plan, train

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
