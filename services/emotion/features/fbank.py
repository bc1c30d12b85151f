"""Log-mel filter banks as Kaldi computes them, without dither: the same window always has the same.

Two recipes, those that the two families of speaker networks were trained with: WeSpeaker's (Wang et al., ICASSP 2023)
and VBx's (Landini et al., Computer Speech & Language 71, 2022). Both add noise (dither); here there is none.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from services.emotion.features.feature import Array

Floats = NDArray[np.float64]

LOW_HZ = 20.0
PRE_EMPHASIS = 0.97
EPSILON = float(np.finfo(np.float32).eps)  #: Kaldi's floor of a band's energy, in units of 16 bits
VBX_FLOOR = 1.0
VBX_HIGH_HZ = {8000: 3700.0, 16_000: 7600.0}
VBX_MEAN = 300  #: frames, about the frame, whose mean is taken off it

Recipe = Callable[[Array, int, int], Array]


def wespeaker(samples: Array, rate: int, bands: int) -> Array:
    """(frames, bands), of windows that fit whole; each band has a mean of 0."""
    energies = _energies(samples.astype(np.float64), rate, bands, rate / 2, np.hamming(rate // 40))
    logs = np.log(np.maximum(energies, EPSILON))
    found: Array = (logs - logs.mean(axis=0)).astype(np.float32)
    return found


def vbx(samples: Array, rate: int, bands: int) -> Array:
    """(frames, bands), the ends mirrored; each band has a mean of 0 over the 3 s about the frame."""
    size = rate // 40
    overlap = size - rate // 100
    mirrored = np.concatenate([samples[: overlap // 2][::-1], samples, samples[-(size // 2) :][::-1]])
    taper = np.hanning(size) ** 0.85  # Povey's window
    energies = _energies(mirrored.astype(np.float64), rate, bands, VBX_HIGH_HZ[rate], taper)
    logs = np.log(np.maximum(energies, VBX_FLOOR))
    return (logs - _floating_mean(logs)).astype(np.float32)


def _energies(samples: Floats, rate: int, bands: int, high_hz: float, taper: Floats) -> Floats:
    """(frames, bands) of frames of 25 ms every 10 ms."""
    size = len(taper)
    frames = sliding_window_view(samples * 32768, size)[:: rate // 100]
    frames = frames - frames.mean(axis=1, keepdims=True)
    frames = frames - PRE_EMPHASIS * np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    fft = 1 << (size - 1).bit_length()
    power = np.abs(np.fft.rfft(frames * taper, fft)) ** 2  # (frames, bins)
    found: Floats = power @ _filters(rate, fft, bands, high_hz)
    return found


def _floating_mean(logs: Floats) -> Floats:
    """The mean of `VBX_MEAN` frames about each frame; at the ends of the first and the last so many."""
    count = min(len(logs), VBX_MEAN)
    starts = np.clip(np.arange(len(logs)) - VBX_MEAN // 2, 0, len(logs) - count)
    sums = np.cumsum(np.pad(logs, ((1, 0), (0, 0))), axis=0)
    found: Floats = (sums[starts + count] - sums[starts]) / count
    return found


@cache
def _filters(rate: int, fft: int, bands: int, high_hz: float) -> Floats:
    """Triangular bands, equally wide in mel and straight in it: (bins, bands)."""
    low, high = _mel(np.array([LOW_HZ, high_hz]))
    edges = np.linspace(low, high, bands + 2)
    bins = _mel(np.fft.rfftfreq(fft, 1 / rate).astype(np.float64))[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    found: Floats = np.maximum(0, np.minimum(rising, falling))
    return found


def _mel(hertz: Floats) -> Floats:
    found: Floats = 1127 * np.log(1 + hertz / 700)
    return found
