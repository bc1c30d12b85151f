"""Calls for tests: voices made of buzz and noise, what leaks between channels, and sounds that are no speech."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RATE = 8000
Signal = NDArray[np.float64]  #: of one channel, shape (samples,), in units of an int16


def voice(seconds: float, seed: int = 0, *, rate: int = RATE, pitch: float = 120) -> Signal:
    """A buzz whose harmonics, loudness and pitch change as a voice's do, without pauses."""
    rng = np.random.default_rng(seed)
    at = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(pitch + pitch / 3 * np.sin(2 * np.pi * 3 * at + seed)) / rate
    knots = np.arange(0, seconds + 0.2, 0.12)
    out = np.zeros(len(at))
    for harmonic in range(1, 24):
        gain = np.interp(at, knots, 10 ** (rng.uniform(-25, 0, len(knots)) / 20))
        out += gain * np.sin(harmonic * phase)
    return 2500 * out * (0.15 + np.clip(np.sin(2 * np.pi * 2.7 * at + seed), 0, None))


def call(turns: Sequence[tuple[int, float, float]], seconds: float, *, rate: int = RATE) -> NDArray[np.float64]:
    """Both channels, shape (2, samples), over faint noise; turns are (channel, start, length) in seconds."""
    rng = np.random.default_rng(len(turns))
    out = rng.normal(0, 4, (2, int(seconds * rate)))
    for number, (channel, start, length) in enumerate(turns):
        spoken = voice(length, number, rate=rate, pitch=(190, 110)[channel])
        first = int(start * rate)
        out[channel, first : first + len(spoken)] += spoken[: out.shape[1] - first]
    return out


def leaking(channels: NDArray[np.float64], gain_db: float, delay_ms: int, *, rate: int = RATE) -> NDArray[np.float64]:
    """The first channel heard in the second as well, `gain_db` louder and later by `delay_ms`."""
    delay, out = delay_ms * rate // 1000, channels.copy()
    out[1, delay:] += channels[0, : channels.shape[1] - delay] * 10 ** (gain_db / 20)
    return out


def pcm(signals: NDArray[np.float64]) -> NDArray[np.int16]:
    return np.clip(np.rint(signals), -32768, 32767).astype(np.int16)


def tone(hertz: float, seconds: float) -> Signal:
    return 4000 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)


def fax() -> Signal:
    """Calling tone, answering tone, then V.21 flags: frequency-shift keying at 300 baud (ITU-T T.30)."""
    bits = np.resize([0, 1, 1, 1, 1, 1, 1, 0], 3 * 300)
    hertz = np.repeat(np.where(bits, 1650, 1850), RATE // 300 + 1)[: 3 * RATE]
    keyed = 4000 * np.sin(2 * np.pi * np.cumsum(hertz) / RATE)
    return np.concatenate((tone(1100, 0.5), np.zeros(3 * RATE), tone(1100, 0.5), tone(2100, 3), keyed))


def sung(seconds: float, seed: int = 0) -> Signal:
    """A voice that holds notes with vibrato."""
    rng = np.random.default_rng(seed)
    notes = np.repeat(rng.choice(220 * 2 ** (np.array([0, 2, 4, 7, 9]) / 12), int(seconds * 2) + 1), RATE // 2)
    at = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(notes[: len(at)] * (1 + 0.01 * np.sin(2 * np.pi * 5.5 * at))) / RATE
    hertz = 260 * np.arange(1, 14)
    formants = 1 / (1 + ((hertz - 700) / 300) ** 2) + 0.5 / (1 + ((hertz - 1200) / 300) ** 2)
    held = sum(gain * np.sin(n * phase) for n, gain in enumerate(formants, 1))
    return 3000 * held
