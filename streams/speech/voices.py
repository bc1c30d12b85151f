"""What a voice is like, as a vector: the port for networks of speaker embeddings, and a default that needs none.

The default is the mean and the spread of mel-frequency cepstra (Davis and Mermelstein 1980) over a piece of speech, as
long-term features of a speaker have been taken since (Furui 1981), in a space where a speaker's own variance is the
same in all directions (within-class covariance normalisation, Hatch et al. 2006) and the directions in which emotion
moves a voice are left out (nuisance attribute projection, Solomonoff et al. 2005). The space was estimated by
`ops/experiments/voices.py` on five speakers of EmoDB.
"""

from collections.abc import Sequence
from importlib.resources import files
from typing import Protocol

import numpy as np
from safetensors.numpy import load
from threadpoolctl import ThreadpoolController

from streams.domain.overlap import FRAME_MS
from streams.speech.activity import Samples
from streams.speech.products import Floats, Product, product

BANDS = 24
CEPSTRA = 19  #: without the first, which is loudness
MEASURES = 2 * CEPSTRA
LOW_HZ, HIGH_HZ = 100, 3800
_BINS = 129  #: up to 4 kHz, at either rate
_AT_ONCE = 128  #: windows whose cepstra are made in one go
_WINDOW_MS = 20  #: two a frame
_RANGE = 1000  #: 30 dB: softer frames of a piece are left out
_FLOOR = np.float32(1e-7)
_FULL_SCALE = np.float32(32768)


class Voiceprints(Protocol):
    """Embeds pieces of speech so that a speaker's own pieces lie about 1 from their mean in every dimension."""

    @property
    def space(self) -> str:
        """Which vectors these are: those of another space cannot be compared with them."""

    def embed(self, rate: int, pieces: Sequence[Samples]) -> Floats:
        """Shape (pieces, dimensions). A piece's vector is the same to the bit, whatever else is in the batch."""


class Cepstra:
    """The default. `space` is (38, dimensions), that of the package where it is not given."""

    space = ""

    def __init__(self, space: Floats | None = None) -> None:
        self._blas = ThreadpoolController().select(user_api="blas")
        with self._blas.limit(limits=1):
            self._bands = product(_mel(), _AT_ONCE)
            self._cosines = product(_cosines(), _AT_ONCE)
            self._space = product(_space() if space is None else space, _AT_ONCE)

    def embed(self, rate: int, pieces: Sequence[Samples]) -> Floats:
        """Shape (pieces, dimensions): all windows of all pieces at once."""
        with self._blas.limit(limits=1):
            return _tiled(self._space, self._measures(rate, pieces))

    def _measures(self, rate: int, pieces: Sequence[Samples]) -> Floats:
        """Mean and log spread of each piece's cepstra, (pieces, 38)."""
        loud = [_loud(piece, rate) for piece in pieces]
        cepstra = self._cepstra(np.concatenate([_windows(frames, rate) for frames in loud]))
        ends = np.cumsum([2 * len(frames) for frames in loud])
        return np.stack(
            [_measure(cepstra[end - 2 * len(frames) : end]) for end, frames in zip(ends, loud, strict=True)]
        )

    def _cepstra(self, windows: Floats) -> Floats:
        """(n, samples) -> (n, 19)."""
        spectra = np.fft.rfft(windows, windows.shape[1] * 8 // 5)[:, :_BINS]
        power = spectra.real**2 + spectra.imag**2
        return _tiled(self._log_cosines, power.astype(np.float32, copy=False))

    def _log_cosines(self, power: Floats) -> Floats:
        return self._cosines(np.log(self._bands(power) + _FLOOR))


def _space() -> Floats:
    space: Floats = load(files("streams.speech").joinpath("voices.safetensors").read_bytes())["space"]
    return space


def _tiled(work: Product, rows: Floats) -> Floats:
    """`work` over `rows`, always as many at once: the last are filled up with zeros, and cut off again."""
    filled = np.zeros((-(-len(rows) // _AT_ONCE) * _AT_ONCE, rows.shape[1]), np.float32)
    filled[: len(rows)] = rows
    return np.concatenate([work(tile) for tile in filled.reshape(-1, _AT_ONCE, rows.shape[1])])[: len(rows)]


def _loud(piece: Samples, rate: int) -> Floats:
    """The frames of a piece that are within 30 dB of its loudest, -1 to 1: (frames, samples)."""
    size = rate * FRAME_MS // 1000
    frames = piece[: len(piece) // size * size].reshape(-1, size).astype(np.float32) / _FULL_SCALE
    energy = (frames * frames).sum(axis=1)
    loud: Floats = frames[energy * _RANGE >= energy.max(initial=0)]
    return loud


def _windows(frames: Floats, rate: int) -> Floats:
    """Two windows a frame, at its beginning and its end: (2 x frames, samples)."""
    size = rate * _WINDOW_MS // 1000
    pairs = np.stack((frames[:, :size], frames[:, -size:]), axis=1).reshape(-1, size)
    scale = np.float32(8000 / rate)  # so that the same sound has the same spectrum at either rate
    tapered: Floats = pairs * (np.hamming(size).astype(np.float32) * scale)
    return tapered


def _measure(cepstra: Floats) -> Floats:
    return np.concatenate((cepstra.mean(axis=0), np.log(cepstra.std(axis=0) + np.float32(0.1))))


def _mel() -> Floats:
    """Triangular bands, equally wide on the mel scale: (bins, bands)."""
    low, high = (1127 * np.log1p(hertz / 700) for hertz in (LOW_HZ, HIGH_HZ))
    edges = 700 * np.expm1(np.linspace(low, high, BANDS + 2) / 1127)
    hertz = np.linspace(0, 4000, _BINS)[:, np.newaxis]
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    bands: Floats = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    return bands


def _cosines() -> Floats:
    """The discrete cosine transform without its first row: (bands, cepstra)."""
    angles = np.pi * np.outer(np.arange(BANDS) + 0.5, np.arange(1, CEPSTRA + 1)) / BANDS
    cosines: Floats = (np.cos(angles) * np.sqrt(2 / BANDS)).astype(np.float32)
    return cosines
