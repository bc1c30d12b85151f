"""Sounds of a telephone line that are no speech, made up: what a bundle must abstain from."""

from collections.abc import Callable, Iterator, Mapping
from itertools import count, takewhile

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
Random = np.random.Generator

RATE = 8000
TOP_HZ = 3800.0
SECONDS = (2.5, 12.0)  #: a window's length
PEAK_DB = (-26.0, -2.0)  #: of full scale
KEYS_HZ = ((697, 770, 852, 941), (1209, 1336, 1477, 1633))  #: ITU-T Q.23
#: frequencies in Hz, seconds on and off: Europe, North America, Britain, busy
RINGING = (((425,), 1.0, 4.0), ((440, 480), 2.0, 4.0), ((400, 450), 0.4, 0.2), ((480, 620), 0.5, 0.5))
SCALE = (0, 2, 4, 5, 7, 9, 11, 12)  #: semitones: major


def sounds(random: Random, each: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """`each` windows of every kind, with the kind's name: float32, mono, at `RATE`, full scale 1."""
    for name, make in KINDS.items():
        for _ in range(each):
            made = make(random, random.uniform(*SECONDS))
            peak = 10 ** (random.uniform(*PEAK_DB) / 20) if name != "silence" else float(np.abs(made).max())
            yield name, (made * peak / np.abs(made).max()).astype(np.float32)


def tone(random: Random, seconds: float) -> Samples:
    """One frequency."""
    return _sine(_pitch(random, 100, 3400), seconds)


def buzz(random: Random, seconds: float) -> Samples:
    """One frequency with its harmonics."""
    return _harmonics(_pitch(random, 100, 1000), seconds, fall=1)


def dialling(random: Random, seconds: float) -> Samples:
    """The two tones of one key after another."""
    parts: list[Samples] = []
    while sum(map(len, parts)) < seconds * RATE:
        held = random.uniform(0.07, 0.25)
        keys = [_sine(float(random.choice(row)), held) for row in KEYS_HZ]
        parts += [keys[0] + keys[1], _rest(random.uniform(0.05, 0.2))]
    return np.concatenate(parts)[: _samples(seconds)]


def ringing(random: Random, seconds: float) -> Samples:
    """What a caller hears while nobody answers."""
    hertz, on_s, off_s = RINGING[random.integers(len(RINGING))]
    both = np.array([_sine(each, seconds) for each in hertz]).sum(axis=0)
    heard: Samples = both * (_time(seconds) % (on_s + off_s) < on_s)
    return heard


def melody(random: Random, seconds: float) -> Samples:
    """One note after another, with vibrato or without."""
    return _played(random, seconds, chord=(0,))


def chords(random: Random, seconds: float) -> Samples:
    """Triads."""
    return _played(random, seconds, chord=(0, 4, 7))


def band(random: Random, seconds: float) -> Samples:
    """Triads over drums."""
    beat_s = random.uniform(0.2, 0.6)
    mixed = _played(random, seconds, chord=(0, 4, 7))
    for at_s in np.arange(0, seconds, beat_s):
        _add(mixed, at_s, 1.5 * random.normal(size=_samples(0.12)) * _decay(0.12, 0.03))
        time = _time(0.15)
        _add(mixed, at_s, 2 * np.sin(2 * np.pi * (60 + 60 * np.exp(-30 * time)) * time) * _decay(0.15, 0.06))
    return mixed


def noise(random: Random, seconds: float) -> Samples:
    """White, pink or brown, steady or swelling."""
    size, slope = _samples(seconds), random.choice([0, 0.5, 1])
    bins = np.maximum(np.fft.rfftfreq(size), 1 / size)
    steady = np.fft.irfft(np.fft.rfft(random.normal(size=size)) / bins**slope, size)
    depth, swells_hz = random.choice([0, 0.9]), random.uniform(0.2, 5)
    swelling: Samples = steady * (1 + depth * _sine(swells_hz, seconds))
    return swelling


def silence(random: Random, seconds: float) -> Samples:
    """A line's own hiss, under -66 dB."""
    return random.normal(0, 10 ** random.uniform(-5, -3.3), _samples(seconds))


KINDS: Mapping[str, Callable[[Random, float], Samples]] = {
    make.__name__: make for make in (tone, buzz, dialling, ringing, melody, chords, band, noise, silence)
}


def _played(random: Random, seconds: float, chord: tuple[int, ...]) -> Samples:
    """A tune of one timbre, each of its notes as a chord."""
    mixed, at_s, beat_s = _rest(seconds), 0.0, random.uniform(0.18, 0.6)
    root, fall = random.uniform(90, 400), random.uniform(0.8, 2.2)
    vibrato, held_s = random.choice([0, 0.2, 1.5]), random.uniform(0.2, 2)
    while at_s < seconds:
        length_s = beat_s * random.choice([1, 2])
        step = SCALE[random.integers(len(SCALE))]
        for interval in chord:
            note = _harmonics(root * 2 ** ((step + interval) / 12), 1.3 * length_s, fall, vibrato)
            _add(mixed, at_s, note * _decay(1.3 * length_s, held_s))
        at_s += length_s
    return mixed


def _harmonics(hertz: float, seconds: float, fall: float, vibrato: float = 0.0) -> Samples:
    """A tone's harmonics up to `TOP_HZ`, weaker by n ** fall; vibrato at 5.5 Hz, in radians."""
    phase = 2 * np.pi * hertz * _time(seconds) + vibrato * _sine(5.5, seconds)
    numbers = takewhile(lambda number: number == 1 or number * hertz < TOP_HZ, count(1))
    heard: Samples = np.array([np.sin(number * phase) / number**fall for number in numbers]).sum(axis=0)
    return heard


def _add(mixed: Samples, at_s: float, part: Samples) -> None:
    """Mix a part in where it begins; what lasts beyond the end is cut off."""
    start = _samples(at_s)
    mixed[start : start + len(part)] += part[: len(mixed) - start]


def _decay(seconds: float, time_s: float) -> Samples:
    """A loudness that starts within 5 ms and dies away."""
    time = _time(seconds)
    loudness: Samples = np.minimum(time / 0.005, 1) * np.exp(-time / time_s)
    return loudness


def _pitch(random: Random, low: float, high: float) -> float:
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def _sine(hertz: float, seconds: float) -> Samples:
    return np.sin(2 * np.pi * hertz * _time(seconds))


def _rest(seconds: float) -> Samples:
    return np.zeros(_samples(seconds))


def _time(seconds: float) -> Samples:
    return np.arange(_samples(seconds)) / RATE


def _samples(seconds: float) -> int:
    return int(seconds * RATE)
