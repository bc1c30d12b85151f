"""Other sampling rates brought to one that may be published, as they are read or at once."""

from collections.abc import Iterable, Iterator

import numpy as np
import soxr
from numpy.typing import NDArray

from streams.speech.decode import Pcm

RATES = (8000, 16000)  #: that audio is published at
_FULL_SCALE = np.float32(32768)

Floats = NDArray[np.float32]  #: shape (channels, samples), -1 to 1


def published_rate(rate: int) -> int:
    """The rate that a recording at `rate` is published at: the highest that invents nothing, at least 8 kHz."""
    return max((allowed for allowed in RATES if allowed <= rate), default=RATES[0])


def resample(samples: Floats, rate: int, to: int) -> Floats:
    """Bring a whole recording from `rate` to `to` Hz, shape (channels, samples)."""
    return np.concatenate(list(resampled([samples], rate, to)), axis=1)


def resampled(blocks: Iterable[Floats], rate: int, to: int) -> Iterator[Floats]:
    """Bring a recording to `to` Hz block by block; the samples are those of `resample`, however it is cut.

    In floating point: soxr would dither 16-bit samples, and digital silence would hiss.
    """
    if rate == to:
        yield from blocks
        return
    stream: soxr.ResampleStream | None = None
    for block in blocks:
        channels = len(block)
        stream = stream or soxr.ResampleStream(rate, to, channels, dtype="float32")
        yield _transposed(stream.resample_chunk(_transposed(block)))
    if stream is not None:
        yield _transposed(stream.resample_chunk(np.zeros((0, channels), np.float32), last=True))


def to_pcm(samples: Floats) -> Pcm:
    """Round to 16 bits; what is beyond full scale is clipped."""
    scaled = np.clip(np.rint(samples * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1)
    pcm: Pcm = scaled.astype(np.int16)
    return pcm


def _transposed(samples: Floats) -> Floats:
    return np.ascontiguousarray(samples.T)
