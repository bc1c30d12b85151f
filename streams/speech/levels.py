"""How loud a frame is by band, in a byte: an eighth of a doubling of power, 0.38 dB."""

import numpy as np
from numpy.typing import NDArray

from streams.speech.products import Floats

Levels = NDArray[np.uint8]  #: (..., bands)

STEP_DB = 3.0103 / 8
_BITS = 20  #: of a float32 below the exponent and the first three bits of the mantissa
_LOWEST = (127 - 21) << 3  #: level 0 is a power of 2 ** -21, of samples from -1 to 1: -63 dB


def levels(powers: Floats) -> Levels:
    """Powers, of any shape, as levels: exact on every machine, for no logarithm is taken but the number's own exponent.

    Within an octave the mantissa stands for its logarithm: wrong by 0.26 dB at most.
    """
    steps = (np.ascontiguousarray(powers).view(np.int32) >> _BITS) - _LOWEST
    bytewise: Levels = np.clip(steps, 0, 255).astype(np.uint8)
    return bytewise


def decibels(number: float) -> int:
    """So many decibels in steps."""
    return round(number / STEP_DB)
