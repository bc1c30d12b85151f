from collections.abc import Callable

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from services.standalone.samples import CALM

Voice = Callable[..., NDArray[np.float32]]


@pytest.fixture(scope="session")
def speech() -> Callable[[int], NDArray[np.float32]]:
    """Windows of the calm sample's customer, which are like what the demo bundle was trained on."""
    samples, _ = soundfile.read(CALM, dtype="float32")
    starts_s = (3.9, 12.4, 24.4, 31.4)
    return lambda number: samples[int(starts_s[number] * 8000) :][:37_000, 1]


@pytest.fixture(scope="session")
def voice() -> Voice:
    return _voice


def _voice(
    pitch_hz: float = 140, seconds: float = 3, level: float = 0.1, syllables_hz: float = 4
) -> NDArray[np.float32]:
    """Harmonics that fall by 6 dB an octave, in syllables, over a faint hiss."""
    time = np.arange(int(seconds * 8000)) / 8000
    harmonics = range(1, int(3800 / pitch_hz) + 1)
    tone = sum(np.sin(2 * np.pi * pitch_hz * n * time) / n for n in harmonics)
    hiss = np.random.default_rng(1).normal(0, 0.01, len(time))
    swell = 0.05 + 0.95 * np.sin(np.pi * syllables_hz * time) ** 2
    return (level * (swell * tone + hiss)).astype(np.float32)
