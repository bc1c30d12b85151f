import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Wav2Vec2Model, WavLMModel

from services.emotion.features.feature import FeatureError, has_frames
from services.emotion.features.selfsupervised import SelfSupervised
from services.emotion.features.sources import Model, pretrained

Array = np.ndarray
Saved = Callable[..., Path]


def noise(samples: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def opened(folder: Path) -> SelfSupervised:
    return SelfSupervised(folder.name, Model(str(folder)))


@pytest.mark.parametrize("name", ["wav2vec2", "wavlm"])
def test_every_layer_is_the_networks_own(saved: Saved, name: str) -> None:
    feature = opened(saved(name))
    window = noise(4000)
    network = {"wav2vec2": Wav2Vec2Model, "wavlm": WavLMModel}[name].from_pretrained(saved(name)).eval()
    scaled = (window - window.mean()) / np.sqrt(window.var() + 1e-7)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(scaled)[None], output_hidden_states=True)
    (found,) = feature.frames([window])
    assert found.shape == (feature.layers, 98, feature.values) == (4, 98, 16)
    for layer, hidden in zip(found[:-1], wanted.hidden_states, strict=False):
        np.testing.assert_allclose(layer, hidden[0], atol=1e-5)
    np.testing.assert_allclose(found[-1], wanted.last_hidden_state[0], atol=1e-5)
    np.testing.assert_allclose(feature.vectors([window])[0], found.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("name", ["wav2vec2", "wavlm"])
@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("stable", [True, False])
def test_a_window_is_described_alike_in_any_batch(saved: Saved, name: str, norm: str, stable: bool) -> None:
    feature = opened(saved(name, feat_extract_norm=norm, do_stable_layer_norm=stable))
    windows = [noise(length, length) for length in (4000, 700, 9000, 4000, 351)]
    together, frames = feature.vectors(windows), feature.frames(windows)
    assert together.shape == (5, 4, 16)
    for at, window in enumerate(windows):
        np.testing.assert_allclose(feature.vectors([window])[0], together[at], atol=1e-5)
        np.testing.assert_allclose(feature.frames([window])[0], frames[at], atol=1e-5)


def test_samples_are_normalised_where_the_models_config_says_so(saved: Saved) -> None:
    window = noise(4000)
    plain, shifted = opened(saved("wavlm")).vectors([window, window + 1])
    np.testing.assert_allclose(plain, shifted, atol=1e-4)
    plain, shifted = opened(saved("wavlm", normalise=False)).vectors([window, window + 1])
    assert np.abs(plain - shifted).max() > 1e-3


def test_weights_as_older_releases_named_them_are_the_same(saved: Saved) -> None:
    folder = saved("wav2vec2")
    now = opened(folder).vectors([noise(4000)])
    names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    weights = load_file(folder / "model.safetensors")
    for new, old in names.items():
        for key in [key for key in weights if new in key]:
            weights[key.replace(new, old)] = weights.pop(key)
    assert any(key.endswith("weight_g") for key in weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert np.array_equal(opened(folder).vectors([noise(4000)]), now)


def test_weights_in_several_files_are_one_network(saved: Saved) -> None:
    folder = saved("wavlm")
    whole = opened(folder).vectors([noise(4000)])
    WavLMModel.from_pretrained(folder).save_pretrained(folder, max_shard_size="20KB")
    (folder / "model.safetensors").unlink()
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 1
    assert np.array_equal(opened(folder).vectors([noise(4000)]), whole)


def test_weights_in_halves_are_computed_with_in_float32(saved: Saved) -> None:
    folder = saved("wavlm")
    halves = {key: value.half() for key, value in load_file(folder / "model.safetensors").items()}
    save_file(halves, folder / "model.safetensors", metadata={"format": "pt"})
    feature = opened(folder)
    assert feature.encoder.dtype == torch.float32
    assert feature.vectors([noise(4000)]).dtype == np.float32


def test_the_version_holds_the_checksum_of_the_files(saved: Saved) -> None:
    folder = saved("wav2vec2")
    known = pretrained(Model(str(folder))).sha256
    assert opened(folder).version == f"1 {known}"
    assert SelfSupervised("wav2vec2", Model(str(folder), sha256=known)).rate == 16_000
    with pytest.raises(FeatureError, match="its files have sha256"):
        SelfSupervised("wav2vec2", Model(str(folder), sha256="0" * 64))


def test_a_head_can_be_trained_on_the_frames_and_the_encoder_stays_as_it_is(saved: Saved) -> None:
    feature = opened(saved("wavlm"))
    before = {name: values.clone() for name, values in feature.encoder.state_dict().items()}
    head = torch.nn.Linear(feature.values, 2)
    for frames in feature.encoder.hidden([torch.from_numpy(noise(4000)), torch.from_numpy(noise(700))]):
        head(frames.mean(dim=(0, 1))).sum().backward()
    assert head.weight.grad is not None
    assert all(weight.grad is None for weight in feature.encoder.parameters())
    assert all(torch.equal(values, before[name]) for name, values in feature.encoder.state_dict().items())


@pytest.mark.parametrize("name", ["wav2vec2", "wavlm"])
def test_layers_that_are_asked_for_come_alone_and_in_that_order(saved: Saved, name: str) -> None:
    feature, windows = opened(saved(name)), [noise(4000), noise(700)]
    every = feature.vectors(windows)
    assert np.array_equal(feature.vectors(windows, [2]), every[:, [2]])
    assert np.array_equal(feature.vectors(windows, [3, 0]), every[:, [3, 0]])


def test_a_feature_that_exits_gives_what_is_left_unchanged(saved: Saved) -> None:
    feature = opened(saved("wavlm"))
    every = feature.vectors([noise(4000)])
    feature.exit_at(2)
    assert has_frames(feature)
    assert len(feature.encoder.layers) == 2
    assert np.array_equal(feature.vectors([noise(4000)]), every[:, :3])
    assert feature.layers == 4  # what the model has, and a bundle is checked against


def test_weights_that_do_not_fit_the_config_are_named(saved: Saved) -> None:
    folder = saved("wav2vec2")
    weights = load_file(folder / "model.safetensors")
    query = "wav2vec2.encoder.layers.0.attention.q_proj.weight"
    del weights["wav2vec2.encoder.layers.1.attention.k_proj.bias"]
    weights["wav2vec2.encoder.layers.7.attention.k_proj.bias"] = torch.zeros(16)
    weights[query] = torch.zeros(3, 3)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FeatureError) as refused:
        opened(folder)
    assert str(refused.value).split("wav2vec2: ", 1)[1] == (
        "config and weights disagree: missing: encoder.layers.1.attention.k_proj.bias; "
        "not asked for: wav2vec2.encoder.layers.7.attention.k_proj.bias; "
        "of another shape: encoder.layers.0.attention.q_proj.weight"
    )


def test_a_config_of_fewer_layers_than_there_are_weights_is_refused(saved: Saved) -> None:
    folder = saved("wavlm")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}))
    with pytest.raises(FeatureError, match=r"not asked for: encoder\.layers\.2\.[\w., ]+ and 14 more"):
        opened(folder)


def test_another_kind_of_model_is_refused(saved: Saved) -> None:
    with pytest.raises(FeatureError, match=r"config\.json: holds a wav2vec2, not a wavlm"):
        SelfSupervised("wavlm", Model(str(saved("wav2vec2"))))


@pytest.mark.parametrize("change", [{"hidden_act": "no such"}, {"num_attention_heads": 0}, {"conv_dim": "text"}])
def test_a_config_that_makes_no_network_is_told_in_one_line(saved: Saved, change: dict[str, object]) -> None:
    folder = saved("wavlm")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(FeatureError, match="wavlm: WavLMModel cannot be loaded") as refused:
        opened(folder)
    assert "\n" not in str(refused.value)


def test_damaged_weights_are_named(saved: Saved) -> None:
    folder = saved("wavlm")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FeatureError, match=r"wavlm: WavLMModel cannot be loaded|model\.safetensors: damaged"):
        opened(folder)


def test_a_model_that_does_not_say_how_it_hears_is_refused(saved: Saved) -> None:
    folder = saved("wavlm")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(FeatureError, match="wavlm: Wav2Vec2FeatureExtractor cannot be loaded"):
        opened(folder)


def test_a_window_without_one_whole_frame_is_refused(saved: Saved) -> None:
    with pytest.raises(FeatureError, match="wavlm: a window of 50 samples is shorter than one frame"):
        opened(saved("wavlm")).vectors([noise(4000), noise(50)])


def test_a_device_that_is_not_there_is_named(saved: Saved) -> None:
    with pytest.raises(FeatureError, match="device 'cuda:77': torch cannot use it here; choose cpu"):
        SelfSupervised("wavlm", Model(str(saved("wavlm"))), "cuda:77")
