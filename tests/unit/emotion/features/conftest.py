"""Tiny models, saved in the files' real format: config.json, model.safetensors, preprocessor_config.json."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForPreTraining, WavLMConfig, WavLMModel

TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8, 8),
    "conv_stride": (10, 4),
    "conv_kernel": (20, 8),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "num_codevectors_per_group": 4,
    "codevector_dim": 8,
    "proj_codevector_dim": 8,
    "num_buckets": 8,
}


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)  # networks this small only wait for each other


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Makes a model by name and saves it; wav2vec 2.0 as it is published, with its heads of pre-training on top."""

    def save(name: str, *, normalise: bool = True, **changes: object) -> Path:
        torch.manual_seed(0)
        settings = {**TINY, "do_stable_layer_norm": True, "feat_extract_norm": "layer", **changes}
        networks = {
            "wav2vec2": lambda: Wav2Vec2ForPreTraining(Wav2Vec2Config(**settings)),
            "wavlm": lambda: WavLMModel(WavLMConfig(**settings)),
        }
        folder = tmp_path / name
        networks[name]().save_pretrained(folder)
        Wav2Vec2FeatureExtractor(do_normalize=normalise).save_pretrained(folder)
        return folder

    return save
