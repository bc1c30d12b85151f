"""Networks of few weights and of the published ones' shape, saved and loaded as files in the real format."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import (
    PreTrainedModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
)

from services.emotion.features.pretrained import load
from services.emotion.features.sources import Model, pretrained

#: The convolutions of every published model; few channels.
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "initializer_range": 0.2,
}
NETWORKS = {"wav2vec2": (Wav2Vec2Model, Wav2Vec2Config), "wavlm": (WavLMModel, WavLMConfig)}
KINDS = [(name, norm, stable) for name in NETWORKS for norm in ("layer", "group") for stable in (True, False)]

Network = Callable[..., PreTrainedModel]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)  # networks this small only wait for each other


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """Loads the network of a name, norm and order of norms; the same weights each time."""

    def loaded(name: str, norm: str = "layer", stable: bool = True, **changes: object) -> PreTrainedModel:
        folder = tmp_path / f"{name}-{norm}-{stable}"
        kind, config = NETWORKS[name]
        if not folder.exists():
            torch.manual_seed(0)
            settings = {**SMALL, "feat_extract_norm": norm, "do_stable_layer_norm": stable, **changes}
            kind(config(**settings)).save_pretrained(folder)
            Wav2Vec2FeatureExtractor().save_pretrained(folder)
        return load(kind, pretrained(Model(str(folder))), "cpu")

    return loaded


def voices(lengths: list[int], seed: int = 0) -> list[Tensor]:
    """Normalised windows of so many samples at 16 kHz, each with a pitch, a tilt and a rhythm of its own."""
    random = np.random.default_rng(seed)
    return [_voice(length, random) for length in lengths]


def _voice(length: int, random: np.random.Generator) -> Tensor:
    time = np.arange(length) / 16_000
    pitch, tilt, rhythm = random.uniform(80, 300), random.uniform(0.5, 2), random.uniform(2, 6)
    tone = sum(np.sin(2 * np.pi * pitch * n * time) / n**tilt for n in range(1, 12))
    sound = tone * (0.1 + np.sin(np.pi * rhythm * time) ** 2) + random.normal(0, 0.1, length)
    return torch.from_numpy(((sound - sound.mean()) / sound.std()).astype(np.float32))
