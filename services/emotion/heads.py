"""One-vs-rest RBF machines of every head, packed: one kernel matrix against the union of their support vectors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FAR = 3.0  #: standard deviations; further out a value says that a window is strange, not how angry it is


@dataclass(frozen=True, slots=True)
class Heads:
    """Machines as arrays. A head owns adjacent columns, one a class; two classes mirror each other.

    Support vectors are standardised and rounded to float32, and so is what they are compared with: the packed form then
    gives scikit-learn's decision values to rounding, at half the size.
    """

    classes: Mapping[str, tuple[str, ...]]  #: head -> its classes, in the order of the columns
    mean: Array = field(repr=False)  #: (values,) of the training windows
    scale: Array = field(repr=False)  #: (values,)
    support: NDArray[np.float32] = field(repr=False)  #: (support vectors, values)
    dual: Array = field(repr=False)  #: (support vectors, columns)
    intercept: Array = field(repr=False)  #: (columns,)
    sharpness: Array = field(repr=False)  #: (heads,) how fast a margin becomes certainty
    gamma: float


def standardised(vectors: NDArray[np.floating], mean: Array, scale: Array) -> NDArray[np.float32]:
    """Vectors in units of the training windows' spread, within +-FAR: (n, values), float32."""
    return np.clip((vectors - mean) / scale, -FAR, FAR).astype(np.float32)


def decisions(heads: Heads, vectors: NDArray[np.floating]) -> dict[str, Array]:
    """Head -> (n, classes): signed distances from each class's border; the largest is the label."""
    points = standardised(vectors, heads.mean, heads.scale).astype(np.float64)
    support = heads.support.astype(np.float64)
    squares = (points**2).sum(axis=1)[:, None] + (support**2).sum(axis=1) - 2 * points @ support.T
    kernel = np.exp(-heads.gamma * np.maximum(squares, 0))  # (n, support vectors)
    scores = kernel @ heads.dual + heads.intercept  # (n, columns)
    return {head: scores[:, columns] for head, columns in _columns(heads.classes).items()}


def probabilities(heads: Heads, scores: Mapping[str, Array]) -> dict[str, Array]:
    """Head -> (n, classes), rows summing to 1: a softmax, so the likeliest class is the one with the largest score."""
    return {
        head: softmax(scores[head] * sharpness) for head, sharpness in zip(heads.classes, heads.sharpness, strict=True)
    }


def softmax(scores: Array) -> Array:
    """Rows of positive numbers that sum to 1."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _columns(classes: Mapping[str, tuple[str, ...]]) -> dict[str, slice]:
    edges = accumulate((len(names) for names in classes.values()), initial=0)
    return {head: slice(*ends) for head, ends in zip(classes, pairwise(edges), strict=True)}
