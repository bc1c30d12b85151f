"""A `Plda` from the two files that VBx publishes beside a network: Kaldi's PLDA, and HDF5 with LDA and two means."""

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from streams.speech import kaldi
from streams.speech.plda import Plda

DATASETS = {"mean1": 1, "mean2": 1, "lda": 2}  #: dimensions of each


class PldaError(ValueError):
    """A file that cannot be used. The message is one line: the file, the place, and what to do."""


def read(plda: Path, transform: Path) -> Plda:
    """Read `plda` (Kaldi, binary) and `transform` (HDF5). PldaError."""
    plda_mean, diagonal, between = _kaldi(plda)
    mean, lda_mean, lda = _hdf5(transform)
    if lda.shape != (len(mean), len(lda_mean)):
        shapes = f"mean1 {mean.shape}, mean2 {lda_mean.shape} and lda {lda.shape}"
        raise PldaError(f"{transform}: {shapes} do not fit each other; fetch the file again")
    if len(plda_mean) != len(lda_mean):
        sizes = f"{plda} is for {len(plda_mean)} dimensions and {transform} gives {len(lda_mean)}"
        raise PldaError(f"{sizes}; name the two files of one network")
    return Plda(mean, lda, lda_mean, plda_mean, diagonal, between)


def _kaldi(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    try:
        return kaldi.plda(path.read_bytes())
    except OSError as error:
        raise PldaError(f"{path}: cannot be read ({error.strerror}); name the PLDA file") from error
    except kaldi.KaldiError as error:
        raise PldaError(f"{path}: {error}") from error


def _hdf5(path: Path) -> list[NDArray[np.float64]]:
    try:
        with h5py.File(path) as file:
            return [_dataset(file, path, name, dimensions) for name, dimensions in DATASETS.items()]
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise PldaError(f"{path}: no HDF5 file that can be read ({reason}); name the transform's file") from error


def _dataset(file: h5py.File, path: Path, name: str, dimensions: int) -> NDArray[np.float64]:
    found = file.get(name)
    if not isinstance(found, h5py.Dataset) or found.ndim != dimensions or found.dtype.kind != "f":
        wanted = f"array of {dimensions} dimension{'s' * (dimensions > 1)}"
        raise PldaError(f"{path}: holds no {wanted} named {name}; take the file that came with the network")
    numbers: NDArray[np.float64] = found[:].astype(np.float64)
    if not np.isfinite(numbers).all():
        raise PldaError(f"{path}: {name} holds a number that is not finite; fetch the file again")
    return numbers
