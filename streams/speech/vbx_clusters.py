"""Where VBx starts: agglomerative clustering of x-vectors by their mean similarity, cut where the scores say."""

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.special import expit

from streams.speech.plda import Vectors

Floats = NDArray[np.float64]

MOST = 10_000  #: vectors, 40 minutes of speech: they take 3 GB and 20 s
UNSCALED = 2  #: vectors, 1.7 s of speech, whose one score has no other to be compared with: one speaker
ROUNDS = 20  #: of expectation maximisation
ALIKE = 1e-6  #: a spread of scores under which nothing tells two speakers apart


def cluster(directions: Vectors, offset: float) -> NDArray[np.intp]:
    """A cluster (0, 1, ...) for each of `directions` (n, dims), 1 <= n <= MOST, of length 1. ValueError if more."""
    if len(directions) > MOST:
        raise ValueError(f"{len(directions)} x-vectors: at most {MOST} are clustered at once; cut the recording")
    if len(directions) <= UNSCALED:
        return np.zeros(len(directions), np.intp)
    similarity = np.clip(directions @ directions.T, -1, 1)
    merges = linkage(squareform(1 - similarity, checks=False), "average")
    found: NDArray[np.intp] = fcluster(merges, 1 - calibrated(similarity) - offset, "distance").astype(np.intp) - 1
    return found


def calibrated(scores: Floats) -> float:
    """The score above which a pair is of one speaker: where two Gaussians of one variance, fitted to all, cross.

    Less than any score where all are alike. A pair counts twice and a vector with itself once, as in VBx's recipe.
    """
    scores = scores.ravel()
    mean, variance = float(scores.mean()), float(scores.var())
    if variance < ALIKE**2:
        return -1.0
    low, high, share, second = mean - variance**0.5, mean + variance**0.5, 0.5, float(scores @ scores) / len(scores)
    for _ in range(ROUNDS):
        upper = expit((high - low) / variance * (scores - _crossing(low, high, variance, share)))
        share = float(np.clip(upper.mean(), ALIKE, 1 - ALIKE))
        high = float(upper @ scores) / len(scores) / share
        low = (mean - share * high) / (1 - share)
        variance = max(second - share * high**2 - (1 - share) * low**2, ALIKE**2)
        if high - low < ALIKE:
            return -1.0
    return _crossing(low, high, variance, share)


def _crossing(low: float, high: float, variance: float, share: float) -> float:
    return (low + high) / 2 + variance * float(np.log(1 / share - 1)) / (high - low)
