"""The space in which speakers are told apart: x-vectors centred, reduced by LDA and turned so that PLDA is diagonal."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float64]  #: one a row: (n, values)


@dataclass(frozen=True, slots=True)
class Plda:
    """What a network's x-vectors need before they are compared (Landini et al. 2022, section 3.3; Ioffe, ECCV 2006)."""

    mean: NDArray[np.float64]  #: of the network's vectors, (values,)
    lda: NDArray[np.float64]  #: (values, dims)
    lda_mean: NDArray[np.float64]  #: what is taken off after LDA, (dims,)
    plda_mean: NDArray[np.float64]  #: (dims,)
    diagonal: NDArray[np.float64]  #: makes the covariance within speakers the identity: (dims, dims)
    between: NDArray[np.float64]  #: the variances between speakers after it, (dims,)

    def directions(self, vectors: Vectors) -> Vectors:
        """Of x-vectors (n, values): vectors of length 1 whose inner products say how like two are, (n, dims)."""
        return _unit(_unit(vectors - self.mean) @ self.lda - self.lda_mean)

    def features(self, directions: Vectors) -> Vectors:
        """Of directions: what PLDA models, N(0, between) over speakers and N(., 1) within one, (n, dims)."""
        found: Vectors = (directions - self.plda_mean) @ self.diagonal.T
        return found


def _unit(vectors: Vectors) -> Vectors:
    """Rows of length 1; a row of zeros, which has no direction, stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
