"""Small networks that learnt nothing, in the files that pyannote.audio 4 keeps its own in."""

from pathlib import Path

import lightning
import numpy as np
import torch
from pyannote.audio import Model
from pyannote.audio.core.task import Problem, Resolution, Specifications
from pyannote.audio.models.embedding import WeSpeakerResNet34
from pyannote.audio.models.segmentation import PyanNet

from streams.speech import speaker_space
from streams.speech.embedding import Embedding
from streams.speech.pyannote_models import WEIGHTS

WINDOW_S = 4.0
RATE = 8000


def embedding(folder: Path) -> Path:
    """WeSpeaker's network, with a space that fits it."""
    torch.manual_seed(0)
    told = Specifications(problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=5.0)
    _save(WeSpeakerResNet34(), told, folder)
    network, rng = Embedding(str(folder)), np.random.default_rng(0)
    said = [[_noise(rng, filter_) for _ in range(3)] for filter_ in rng.normal(size=(3, 8))]
    space = speaker_space.estimated(network.sha256, [network.embed(RATE, pieces) for pieces in said])
    speaker_space.write(folder / speaker_space.NAME, space)
    return folder


def segmentation(folder: Path, duration: float = WINDOW_S, *, powerset: bool = True) -> Path:
    """PyanNet, smaller; its classes are the sets of up to two of three speakers."""
    torch.manual_seed(1)
    problem = Problem.MONO_LABEL_CLASSIFICATION if powerset else Problem.MULTI_LABEL_CLASSIFICATION
    most = {"powerset_max_classes": 2} if powerset else {}
    told = Specifications(
        problem=problem,
        resolution=Resolution.FRAME,
        duration=duration,
        classes=["1", "2", "3"],
        permutation_invariant=True,
        **most,
    )
    small = {"hidden_size": 16, "num_layers": 1}
    _save(PyanNet(lstm={**small, "bidirectional": True}, linear=small), told, folder)
    return folder


def _save(model: Model, told: Specifications, folder: Path) -> None:
    model.specifications = told
    model.setup()
    if hasattr(model, "classifier"):  # else nearly the same class everywhere
        model.classifier.weight.data *= 50
    kept = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(kept)
    folder.mkdir()
    torch.save({**kept, "pytorch-lightning_version": lightning.__version__}, folder / WEIGHTS)


def _noise(rng: np.random.Generator, filter_: np.ndarray) -> np.ndarray:
    return np.convolve(rng.normal(0, 1500, RATE), filter_, mode="same").astype(np.int16)
