"""What every set of functionals measures with: decibels, deltas, percentiles, runs, bands and cosines."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


def db(ratio: Array) -> Array:
    """Power ratio in dB, -60 at the least."""
    decibels: Array = 10 * np.log10(np.maximum(ratio, 1e-6))
    return decibels


def db_ratio(share: Array) -> Array:
    """`share` against the rest, dB, within +-30."""
    share = np.clip(share, 1e-3, 1 - 1e-3)
    decibels: Array = 10 * np.log10(share / (1 - share))
    return decibels


def deltas(values: Array) -> Array:
    """Slope of each contour over five frames, the ends held: (frames, contours)."""
    padded = np.pad(values, ((2, 2), (0, 0)), "edge")
    slopes: Array = (2 * (padded[4:] - padded[:-4]) + padded[3:-1] - padded[1:-3]) / np.float32(10)
    return slopes


def percentiles(values: Array, levels: tuple[float, ...]) -> Array:
    """The nearest ranks of each contour: (levels, contours)."""
    ranked: Array = np.sort(values, axis=0)
    return ranked[[round(level * (len(values) - 1)) for level in levels]]


def runs(mask: Mask) -> NDArray[np.int64]:
    """Lengths of the runs of True, in frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.view(np.int8), [0]])))
    return edges[1::2] - edges[::2]


def mel_filters(count: int, band_hz: tuple[float, float], hertz: NDArray[np.floating]) -> Array:
    """Triangular bands, equally wide in mel: (frequencies, count)."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in band_hz)
    edges = 700 * (10 ** (np.linspace(low, high, count + 2) / 2595) - 1)
    rising = (hertz[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz[:, None]) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


@cache
def cosines(length: int, count: int) -> Array:
    """The first `count` vectors of the orthonormal DCT-II: (length, count)."""
    at, index = np.arange(length)[:, None], np.arange(count)
    scale = np.where(index == 0, np.sqrt(1 / length), np.sqrt(2 / length))
    basis: Array = (np.cos(np.pi * index * (at + 0.5) / length) * scale).astype(np.float32)
    return basis
