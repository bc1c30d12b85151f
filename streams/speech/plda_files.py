"""A `Plda` from the two files that come with a network.

VBx publishes `plda` (Kaldi's) and `transform.h5` (LDA and two means), pyannote `plda.npz` and `xvec_transform.npz`.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from streams.speech import kaldi
from streams.speech.plda import Plda

Floats = NDArray[np.float64]

TRANSFORM = {"mean1": 1, "mean2": 1, "lda": 2}  #: dimensions of each array
NPZ_PLDA = {"mu": 1, "tr": 2, "psi": 1}


class PldaError(ValueError):
    """A file that cannot be used. The message is one line: the file, the place, and what to do."""


def read(plda: Path, transform: Path) -> Plda:
    """Read `plda` (Kaldi, binary) and `transform` (HDF5). PldaError."""
    plda_mean, diagonal, between = _kaldi(plda)
    mean, lda_mean, lda = _hdf5(transform)
    _check(plda, transform, (mean, lda_mean, lda), len(plda_mean))
    return Plda(mean, lda, lda_mean, plda_mean, diagonal, between)


def read_npz(plda: Path, transform: Path) -> Plda:
    """Read `plda` and `transform` in pyannote's form (NumPy, no pickles). PldaError."""
    plda_mean, diagonal, between = _npz(plda, NPZ_PLDA)
    mean, lda_mean, lda = _npz(transform, TRANSFORM)
    _check(plda, transform, (mean, lda_mean, lda), len(plda_mean))
    if diagonal.shape != (len(plda_mean),) * 2 or between.shape != plda_mean.shape or (between <= 0).any():
        raise PldaError(f"{plda}: mu, tr and psi do not fit each other, or psi is not above 0; fetch the file again")
    # Its vectors are as long as the root of their dimensions, where VBx's have length 1.
    wide, narrow = np.sqrt(lda.shape)
    return Plda(mean, lda, lda_mean / wide, plda_mean / narrow, diagonal * narrow, between)


def _check(plda: Path, transform: Path, arrays: tuple[Floats, Floats, Floats], dims: int) -> None:
    mean, lda_mean, lda = arrays
    if lda.shape != (len(mean), len(lda_mean)):
        shapes = f"mean1 {mean.shape}, mean2 {lda_mean.shape} and lda {lda.shape}"
        raise PldaError(f"{transform}: {shapes} do not fit each other; fetch the file again")
    if dims != len(lda_mean):
        sizes = f"{plda} is for {dims} dimensions and {transform} gives {len(lda_mean)}"
        raise PldaError(f"{sizes}; name the two files of one network")


def _kaldi(path: Path) -> tuple[Floats, Floats, Floats]:
    try:
        return kaldi.plda(path.read_bytes())
    except OSError as error:
        raise PldaError(f"{path}: cannot be read ({error.strerror}); name the PLDA file") from error
    except kaldi.KaldiError as error:
        raise PldaError(f"{path}: {error}") from error


def _hdf5(path: Path) -> list[Floats]:
    try:
        with h5py.File(path) as file:
            arrays = {name: found[:] for name in TRANSFORM if isinstance(found := file.get(name), h5py.Dataset)}
            return _arrays(path, arrays, TRANSFORM)
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise PldaError(f"{path}: no HDF5 file that can be read ({reason}); name the transform's file") from error


def _npz(path: Path, wanted: Mapping[str, int]) -> list[Floats]:
    try:
        with path.open("rb") as content, np.load(content) as file:
            return _arrays(path, {name: file[name] for name in wanted if name in file.files}, wanted)
    except PldaError:
        raise
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:  # a TypeError is a single array
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise PldaError(f"{path}: no NumPy archive that can be read ({reason}); fetch the file again") from error


def _arrays(path: Path, arrays: Mapping[str, Floats], wanted: Mapping[str, int]) -> list[Floats]:
    """The arrays named in `wanted`, with so many dimensions each, of finite numbers."""
    for name, dimensions in wanted.items():
        found = arrays.get(name)
        if found is None or found.ndim != dimensions or found.dtype.kind != "f":
            like = f"array of {dimensions} dimension{'s' * (dimensions > 1)}"
            raise PldaError(f"{path}: holds no {like} named {name}; take the file that came with the network")
        if not np.isfinite(found).all():
            raise PldaError(f"{path}: {name} holds a number that is not finite; fetch the file again")
    return [arrays[name].astype(np.float64) for name in wanted]
