"""What is measured of held-out decisions. Every measure of a confusion table takes a stack of them as well as one."""

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]  #: (..., true class, said class)
Classes = NDArray[np.int64]
Values = NDArray[np.float64]


def confusion(wanted: Classes, said: Classes, size: int) -> Counts:
    """(true class, said class) counts."""
    return np.bincount(wanted * size + said, minlength=size * size).reshape(size, size)


def class_f1(tables: NDArray[np.number]) -> Values:
    """(..., classes): F1 of each class; no number where a class neither occurs nor was said."""
    return _shares(2 * _right(tables), tables.sum(axis=-1) + tables.sum(axis=-2))


def class_recall(tables: NDArray[np.number]) -> Values:
    """(..., classes): share of each class that was found; no number where it does not occur."""
    return _shares(_right(tables), tables.sum(axis=-1))


def class_precision(tables: NDArray[np.number]) -> Values:
    """(..., classes): share of what was said to be a class that is; no number where it was never said."""
    return _shares(_right(tables), tables.sum(axis=-2))


def macro_f1(tables: NDArray[np.number]) -> Values:
    """(...): mean F1 over the classes that occur or were said."""
    return _mean(class_f1(tables))


def uar(tables: NDArray[np.number]) -> Values:
    """(...): unweighted average recall over the classes that occur."""
    return _mean(class_recall(tables))


def _right(tables: NDArray[np.number]) -> NDArray[np.number]:
    return np.diagonal(tables, axis1=-2, axis2=-1)


def _shares(parts: NDArray[np.number], wholes: NDArray[np.number]) -> Values:
    shares = np.full(parts.shape, np.nan)
    np.divide(parts, wholes, out=shares, where=wholes > 0)
    return shares


def _mean(figures: Values) -> Values:
    """Over the last axis, passing over what is no number."""
    there = np.isfinite(figures)
    return np.asarray(np.where(there, figures, 0).sum(axis=-1) / np.maximum(there.sum(axis=-1), 1))
