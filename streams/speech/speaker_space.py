"""Where the vectors of a network of speaker embeddings lie for one speaker, and in which directions speakers differ.

A network's vectors are centred, brought to one length (Garcia-Romero and Espy-Wilson 2011), and projected by linear
discriminant analysis (Fisher 1936) onto the few directions in which speakers differ most for how much each differs from
himself: there a speaker's own variance is 1. It is estimated from recordings of known speakers, and goes with one
network alone (`ops/experiments/speaker_space.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from streams.speech.products import Floats
from streams.speech.pyannote_models import ModelError

NAME = "speaker_space.safetensors"  #: of the file, beside the weights
DIMENSIONS = 32  #: at most: a call keeps 64 vectors of them
FEWEST = 3  #: speakers
_FOLDS = 5  #: of speakers, each left out once
SCRIPT = "python ops/experiments/speaker_space.py"
_SHRUNK = 0.1  #: weight of the dimensions' mean variance in the covariance: few pieces, many dimensions

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SpeakerSpace:
    """`network` is the sha256 of the weights that it was estimated with."""

    network: str
    mean: Floats  #: (values,)
    weights: Floats  #: (values, dimensions)

    def project(self, vectors: Floats) -> Floats:
        """(n, values) -> (n, dimensions); a row's bits depend on no other row."""
        centred = _of_one_length((vectors - self.mean).astype(np.float64))
        return np.stack([(row[:, np.newaxis] * self.weights).sum(axis=0) for row in centred]).astype(np.float32)


def read(path: Path, network: str) -> SpeakerSpace:
    """The space in a file, for the network of this sha256. Raises ModelError."""
    if not path.is_file():
        raise ModelError(f"{path}: not there; estimate it on recordings of known speakers: {SCRIPT}")
    try:
        with safe_open(path, "numpy") as file:
            mean, weights = file.get_tensor("mean"), file.get_tensor("weights")
            of = (file.metadata() or {}).get("network", "")
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: no space of speakers ({error}); estimate it again: {SCRIPT}") from error
    if of != network:
        raise ModelError(f"{path}: was estimated with other weights than these; estimate it again: {SCRIPT}")
    fit = weights.ndim == 2 and mean.shape == weights.shape[:1]
    if not (fit and np.isfinite(mean).all() and np.isfinite(weights).all()):
        raise ModelError(f"{path}: holds no numbers that fit together; estimate it again: {SCRIPT}")
    return SpeakerSpace(network, mean, weights)


def write(path: Path, space: SpeakerSpace) -> None:
    """Write the file that `read` reads."""
    save_file({"mean": space.mean, "weights": space.weights}, path, {"network": space.network})


def estimated(network: str, speakers: Sequence[Floats]) -> SpeakerSpace:
    """The space, from a network's vectors of pieces of speech by speaker, (pieces, values) each. Raises ValueError.

    A speaker who was not heard differs from himself by more than those who were: 1 is what such a one differs by.
    """
    if len(speakers) < FEWEST or min(map(len, speakers)) < 2:
        raise ValueError(f"{len(speakers)} speakers: at least {FEWEST} are needed, of each two pieces of speech")
    spread = np.sqrt(np.mean([_variance(network, speakers, fold) for fold in range(min(_FOLDS, len(speakers)))]))
    space = _fitted(network, speakers)
    return replace(space, weights=(space.weights / max(spread, 1)).astype(np.float32))


def _variance(network: str, speakers: Sequence[Floats], fold: int) -> float:
    """A left-out speaker's own variance in a dimension of the others' space, on average."""
    space = _fitted(network, [each for number, each in enumerate(speakers) if number % _FOLDS != fold])
    left_out = [_own(space.project(each)) for each in speakers[fold::_FOLDS]]
    return float(np.mean([(own**2).sum() / (len(own) - 1) / own.shape[1] for own in left_out]))


def _fitted(network: str, speakers: Sequence[Floats]) -> SpeakerSpace:
    """The space in which these speakers differ most, and each by 1 from himself."""
    stacked = np.concatenate(speakers).astype(np.float64)
    mean = stacked.mean(axis=0)
    unit = [_of_one_length(vectors - mean) for vectors in speakers]
    own = [_own(vectors) for vectors in unit]
    within = sum((each.T @ each for each in own), np.zeros(())) / (len(stacked) - len(speakers))
    within = (1 - _SHRUNK) * within + _SHRUNK * np.trace(within) / len(within) * np.eye(len(within))
    white = np.linalg.inv(np.linalg.cholesky(within)).T
    centres = np.stack([vectors.mean(axis=0) for vectors in unit]) @ white
    _, _, directions = np.linalg.svd(centres - centres.mean(axis=0), full_matrices=False)
    weights = white @ directions[: min(DIMENSIONS, len(speakers) - 1)].T
    spread = np.sqrt(sum(((each @ weights) ** 2).sum(axis=0) for each in own) / (len(stacked) - len(speakers)))
    return SpeakerSpace(network, mean.astype(np.float32), np.ascontiguousarray(weights / spread, np.float32))


def _own(vectors: Doubles | Floats) -> Doubles:
    """How far each of one speaker's vectors lies from their mean."""
    away: Doubles = vectors - vectors.mean(axis=0, dtype=np.float64)
    return away


def _of_one_length(vectors: Doubles) -> Doubles:
    """Each vector's length becomes the root of its dimensions."""
    lengths = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True) / vectors.shape[1])
    level: Doubles = vectors / np.maximum(lengths, 1e-6)
    return level
