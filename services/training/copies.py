"""Copies of a training window: the same words on another line, or at another speed.

They are learnt from beside the window. Nothing is judged by them: what is scored, calibrated on or referred to is the
window itself, and a copy is wherever its window is, since both lie in one row.
"""

from collections.abc import Mapping
from enum import StrEnum
from zlib import crc32

import numpy as np
import soxr
from numpy.typing import NDArray

Samples = NDArray[np.float32]  #: shape (samples,), full scale 1
Versions = NDArray[np.float32]  #: (windows, 1 + copies, values): each window, then its copies
Classes = NDArray[np.int64]

SEED = 7
SPEEDS = {"slower": 0.9, "faster": 1.1}  #: another speaker: pitch, formants and tempo change together
LINES = ("line1", "line2")  #: another line: tilt and noise
TILT_DB = 3.0  #: an octave, at most
NOISE_DB = (15.0, 35.0)  #: under the voice
LOWEST_HZ = 50.0  #: under it nothing is tilted further


class Copies(StrEnum):
    """Which copies of a window are learnt beside it."""

    NONE = "none"
    LINES = "lines"
    LINES_AND_SPEEDS = "lines-and-speeds"

    @property
    def kinds(self) -> tuple[str, ...]:
        """What `altered` calls each of them."""
        return {Copies.NONE: (), Copies.LINES: LINES, Copies.LINES_AND_SPEEDS: (*SPEEDS, *LINES)}[self]


def altered(kind: str, samples: Samples, rate: int) -> Samples:
    """A copy of samples at `rate` Hz, before a telephone passes it on; "" is the samples themselves.

    The same samples give the same copy of a kind, wherever in a corpus they lie.
    """
    if not kind:
        return samples
    if kind in SPEEDS:
        copy: Samples = soxr.resample(samples, rate * SPEEDS[kind], rate)
        return copy
    return _on_a_line(samples, rate, np.random.default_rng([SEED, LINES.index(kind), crc32(samples.tobytes())]))


def _on_a_line(samples: Samples, rate: int, random: np.random.Generator) -> Samples:
    hertz = np.maximum(np.fft.rfftfreq(len(samples), 1 / rate), LOWEST_HZ)
    tilt = 10 ** (random.uniform(-TILT_DB, TILT_DB) * np.log2(hertz / 1000) / 20)
    voice = np.fft.irfft(np.fft.rfft(samples) * tilt, len(samples))
    colour = hertz ** random.uniform(-0.5, 0)
    noise = np.fft.irfft(np.fft.rfft(random.normal(size=len(samples))) * colour, len(samples))
    share = 10 ** (-random.uniform(*NOISE_DB) / 20) * voice.std() / noise.std()
    line: Samples = (voice + share * noise).astype(np.float32)
    return line


def learnt(versions: Versions, wanted: Mapping[str, Classes]) -> tuple[NDArray[np.float32], dict[str, Classes]]:
    """What machines learn from: every version as a row (rows, values), with its window's class under each head."""
    rows = versions.reshape(-1, versions.shape[2])
    return rows, {head: np.repeat(classes, versions.shape[1]) for head, classes in wanted.items()}
