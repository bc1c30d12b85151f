import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertModel, BertTokenizer, WhisperTokenizer

from services.emotion.features.feature import FeatureError
from services.emotion.features.linguistic import Linguistic
from services.emotion.features.sources import Model

Array = np.ndarray


def noise(samples: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def opened(whisper: Path, bert: Path, language: str = "es") -> Linguistic:
    return Linguistic(Model(str(whisper)), Model(str(bert)), language=language)


class Understood(Linguistic):
    """The feature with a Whisper that understands: real from the transcript on."""

    def _transcript(self, window: Array) -> str:
        return ["", "hello", "a much longer sentence than the others are, so that it is cut off"][len(window) - 1]


def test_a_vector_is_the_mean_of_berts_tokens_over_the_transcript(whisper: Path, bert: Path) -> None:
    feature = Understood(Model(str(whisper)), Model(str(bert)))
    found = feature.vectors([noise(length) for length in (1, 2, 3)])
    assert (found.shape, found.dtype) == ((3, feature.layers, feature.values), np.float32)
    network, tokenizer = BertModel.from_pretrained(bert).eval(), BertTokenizer.from_pretrained(bert)
    for at in range(3):
        tokens = tokenizer(feature._transcript(noise(at + 1)), truncation=True, max_length=32, return_tensors="pt")
        with torch.inference_mode():
            hidden = network(**tokens, output_hidden_states=True).hidden_states
        assert tokens["input_ids"].shape[1] == (2, 7, 32)[at]
        np.testing.assert_allclose(found[at], [layer[0].mean(dim=0) for layer in hidden], atol=1e-5)


def test_weights_as_older_releases_named_them_are_the_same(whisper: Path, bert: Path) -> None:
    now = Understood(Model(str(whisper)), Model(str(bert))).vectors([noise(2)])
    weights = load_file(bert / "model.safetensors")
    for new, old in {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}.items():
        for key in [key for key in weights if new in key]:
            weights[key.replace(new, old)] = weights.pop(key)
    weights["bert.embeddings.position_ids"] = torch.arange(32)[None]
    weights["bert.pooler.dense.weight"] = torch.zeros(16, 16)
    save_file(weights, bert / "model.safetensors", metadata={"format": "pt"})
    assert np.array_equal(Understood(Model(str(whisper)), Model(str(bert))).vectors([noise(2)]), now)


def test_a_window_is_described_alike_in_any_batch_and_any_order(whisper: Path, bert: Path) -> None:
    feature = opened(whisper, bert)
    windows = [noise(length, length) for length in (16_000, 3000, 40_000)]
    together = feature.vectors(windows)
    assert len({feature._transcript(window) for window in windows}) > 1
    for at in (2, 0, 1):
        np.testing.assert_allclose(feature.vectors([windows[at]])[0], together[at], atol=1e-5)
    assert feature.vectors([]).shape == (0, 3, 16)


def test_a_window_over_thirty_seconds_is_heard_to_its_end(whisper: Path, bert: Path) -> None:
    feature = opened(whisper, bert)
    long = noise(31 * 16_000)
    parts = [feature._transcript(part) for part in (long[: 30 * 16_000], long[30 * 16_000 :])]
    assert feature._transcript(long) == " ".join(parts)


def test_whisper_is_told_the_language_or_finds_it(whisper: Path, bert: Path) -> None:
    window = noise(16_000)
    spanish, english, found = (opened(whisper, bert, language) for language in ("es", "en", ""))
    assert spanish._transcript(window) != english._transcript(window)
    assert found._transcript(window) in {spanish._transcript(window), english._transcript(window)}
    assert len({spanish.version, english.version, found.version}) == 3


def test_a_language_that_whisper_lacks_is_refused(whisper: Path, bert: Path) -> None:
    with pytest.raises(FeatureError, match="language 'xx': this Whisper model was not made for it"):
        opened(whisper, bert, "xx")


def test_a_whisper_of_one_language_is_told_none(whisper: Path, bert: Path) -> None:
    config = json.loads((whisper / "generation_config.json").read_text())
    for name in ("lang_to_id", "task_to_id"):
        del config[name]
    (whisper / "generation_config.json").write_text(json.dumps(config | {"is_multilingual": False}))
    assert opened(whisper, bert, "").vectors([noise(8000)]).shape == (1, 3, 16)


def test_no_transcript_is_written_anywhere(
    whisper: Path, bert: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    feature = opened(whisper, bert)
    capfd.readouterr()
    feature.vectors([noise(16_000)])
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert not any(isinstance(value, str) for name, value in vars(feature).items() if name not in {"name", "version"})


def test_a_whisper_without_its_feature_extractor_is_refused(whisper: Path, bert: Path) -> None:
    (whisper / "preprocessor_config.json").unlink()
    with pytest.raises(FeatureError, match="whisper: WhisperFeatureExtractor cannot be loaded") as refused:
        opened(whisper, bert)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["whisper", "bert"])
def test_a_model_without_words_is_refused(whisper: Path, bert: Path, name: str) -> None:
    for file in ("tokenizer.json", "vocab.txt"):
        (whisper.parent / name / file).unlink(missing_ok=True)
    with pytest.raises(FeatureError, match=rf"{name}: no tokenizer\.json or vocab\.json or vocab\.txt"):
        opened(whisper, bert)


def test_a_tokenizer_of_another_model_is_refused(whisper: Path, bert: Path) -> None:
    more = {letter: at for at, letter in enumerate(map(chr, range(300)))}
    WhisperTokenizer(vocab=more, merges=[]).save_pretrained(whisper)
    with pytest.raises(FeatureError, match=r"whisper: a tokenizer of \d+ words for a network of 273"):
        opened(whisper, bert)


def test_models_in_the_wrong_order_are_refused(whisper: Path, bert: Path) -> None:
    with pytest.raises(FeatureError, match="holds a bert, not a whisper"):
        opened(bert, whisper)
