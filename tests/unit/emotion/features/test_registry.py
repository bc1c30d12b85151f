import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from services.emotion.features.feature import FeatureError
from services.emotion.features.registry import FEATURES, open_feature
from services.emotion.features.sources import Model

Saved = Callable[..., Path]


def test_the_papers_features_are_there_by_name() -> None:
    assert {"egemaps", "compare16", "prosody", "xvector", "wav2vec2", "wavlm", "beto"} <= set(FEATURES)


@pytest.mark.parametrize("name", [name for name, entry in FEATURES.items() if not entry.models])
def test_a_feature_without_a_model_opens_by_its_name_and_gives_what_it_says(name: str) -> None:
    feature = open_feature(name)
    window = np.sin(np.arange(2 * feature.rate) / 20).astype(np.float32)
    assert feature.name == name
    assert feature.vectors([window]).shape == (1, feature.layers, feature.values)


def test_features_with_models_open_by_name(saved: Saved, whisper: Path, bert: Path) -> None:
    opened = [
        open_feature("wav2vec2", Model(str(saved("wav2vec2")))),
        open_feature("wavlm", model=Model(str(saved("wavlm"))), device="cpu"),
        open_feature("beto", [Model(str(whisper)), Model(str(bert))], language="es"),
    ]
    window = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    for feature in opened:
        assert feature.name in FEATURES
        assert feature.vectors([window]).shape == (1, feature.layers, feature.values)
        assert len(feature.version) > 64


def test_a_name_that_is_none_is_answered_with_those_that_are() -> None:
    with pytest.raises(FeatureError, match=r"feature 'mfcc': there is none of this name; choose one of .*, prosody, "):
        open_feature("mfcc")


@pytest.mark.parametrize(
    ("name", "given", "what"),
    [
        ("wavlm", 0, "feature 'wavlm': needs a WavLM in transformers' format, as folder, file or hub id; 0 given"),
        ("beto", 1, "needs a Whisper in transformers' format and a BERT in transformers' format, .*; 1 given"),
        ("prosody", 1, "feature 'prosody': needs no model, .*; 1 given"),
    ],
)
def test_models_that_are_missing_or_too_many_are_asked_for(name: str, given: int, what: str) -> None:
    with pytest.raises(FeatureError, match=what):
        open_feature(name, [Model("folder")] * given)


@pytest.mark.parametrize(
    ("module", "name", "what"),
    [
        ("opensmile", "egemaps", r"needs opensmile: pip install 'undertone\[opensmile\]' \(openSMILE: .* forbids comm"),
        ("torch", "wavlm", r"needs torch: pip install 'undertone\[models\]'"),
        ("onnxruntime", "xvector", r"needs onnxruntime: pip install 'undertone' \(the weights have a licence"),
        ("transformers", "beto", r"needs transformers: pip install 'undertone\[models\]'"),
    ],
)
def test_a_missing_extra_is_named_with_its_licence(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str, what: str
) -> None:
    for loaded in [each for each in sys.modules if each.startswith("services.emotion.features.")]:
        if loaded.rsplit(".", 1)[1] in {"selfsupervised", "linguistic", "pretrained", "xvector"}:
            monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(FeatureError, match=what):
        open_feature(name, [Model("folder")] * len(FEATURES[name].models))


def test_whoever_needs_no_model_never_waits_for_torch() -> None:
    code = "import sys, services.emotion.features.registry as r; r.open_feature('prosody'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "opensmile", "onnxruntime", "huggingface_hub"} & set(loaded)
