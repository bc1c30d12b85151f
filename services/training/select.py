"""Active learning: which windows are most worth annotating next, by what a bundle does not know and has not seen."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import kmeans_plusplus

Indices = NDArray[np.int64]
Shares = NDArray[np.float32]
Vectors = NDArray[np.float32]

#: Only these times the budget, the most uncertain, can be chosen: the factor of Zhdanov (2019).
CANDIDATES = 10


def select(probabilities: Mapping[str, Shares], vectors: Vectors, budget: int, *, seed: int = 0) -> Indices:
    """At most `budget` indices of windows that a bundle is unsure of and that are unlike each other, most unsure first.

    `probabilities`: head -> (n, classes), calibrated; `vectors`: (n, values), what the bundle hears of each. Among the
    most uncertain, k-means++ draws one after the other, by its uncertainty times its squared distance to the nearest
    that was drawn: uncertainty first and diversity then as in Zhdanov, "Diverse mini-batch active learning" (2019),
    drawn as in Ash et al., "Deep batch active learning by diverse, uncertain gradient lower bounds" (2020).
    """
    doubt = uncertainty(probabilities)
    chosen = np.argsort(-doubt, kind="stable")[: CANDIDATES * budget]
    if len(chosen) > budget:
        chosen = chosen[_spread(standardised(vectors)[chosen], doubt[chosen], budget, seed)]
    order: Indices = chosen[np.lexsort((chosen, -doubt[chosen]))]
    return order


def uncertainty(probabilities: Mapping[str, Shares]) -> NDArray[np.float64]:
    """(n,): the entropy of each window's classes as a share of the highest that there is, the mean over the heads."""
    found: NDArray[np.float64] = np.mean([_entropy(shares) for shares in probabilities.values()], axis=0)
    return found


def standardised(vectors: Vectors) -> Vectors:
    """The same with mean 0 and spread 1 in every value; a value that is the same everywhere is 0."""
    spread = vectors.std(axis=0, dtype=np.float64)
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    scaled: Vectors = (centred / np.where(spread > 0, spread, 1)).astype(np.float32)
    return scaled


def _entropy(shares: Shares) -> NDArray[np.float64]:
    exact = shares.astype(np.float64)
    logs = np.log(exact, out=np.zeros_like(exact), where=exact > 0)
    entropy: NDArray[np.float64] = -(exact * logs).sum(axis=1) / np.log(exact.shape[1])
    return entropy


def _spread(points: Vectors, doubt: NDArray[np.float64], budget: int, seed: int) -> Indices:
    """`budget` places among `points`; of points that are all the same as one drawn, the most uncertain fill it up."""
    weights = doubt + np.finfo(np.float32).eps  # where a bundle is sure of everything, what is unlike the rest is left
    _, drawn = kmeans_plusplus(points, budget, sample_weight=weights, random_state=seed)
    once = np.unique(drawn)
    rest = np.setdiff1d(np.arange(len(points)), once)  # in the order of their doubt
    return np.concatenate([once, rest[: budget - len(once)]])
