"""DisVoice's 103 static prosody features (Vasquez-Correa et al., J. Communication Disorders 76, 2018).

Given the same pitch, every value is DisVoice 0.1.10's, its habits included: energy and durations leave out the last
run of each kind and the last frame of every run. Three things differ. Pitch is this project's RAPT in place of SPTK's
(`rapt`); what DisVoice leaves without a number (the skewness of one value, a window without voice) is 0; and a frame
of digital silence has -120 dB, not -1e30. ops/adr/0105-prosody.md says how both compare on real speech.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from services.emotion.features.feature import Array
from services.emotion.features.rapt import STEP_S, Range, f0

Floats = NDArray[np.float64]

RATE = 16_000
STEP = round(STEP_S * RATE)
FRAME = 2 * STEP
PAUSE = 0.14 * RATE  #: samples; what is unvoiced for longer is a pause
PITCH = Range(60, 350, voice_bias=-0.2)
SILENCE = 1e-12  #: -120 dB

_ALL = ("mean", "std", "max", "min", "skewness", "kurtosis")
_SHAPE = ("mean", "std", "skewness", "kurtosis")
_DURATION = ("mean", "std", "skewness", "kurtosis", "max", "min")
_RATIOS = (
    ("pause", "speech"),
    ("pause", "unvoiced"),
    ("unvoiced", "speech"),
    ("voiced", "speech"),
    ("voiced", "pause"),
    ("unvoiced", "pause"),
)


def names() -> list[str]:
    """Names of the values, in DisVoice's order."""
    energy = [
        f"{kind}_energy.{name}"
        for kind in ("voiced", "unvoiced")
        for name in (
            *_SHAPE,
            *(f"{what}_{stat}" for what, stat in product(("tilt", "mse"), _SHAPE)),
            *(f"{which}_{stat}" for which, stat in product(("first", "last"), _ALL)),
        )
    ]
    return [
        *(f"f0.{stat}" for stat in _ALL),
        *(f"f0.{what}_{stat}" for stat, what in product(_ALL, ("tilt", "mse"))),
        *(f"f0.{which}_{stat}" for which, stat in product(("first", "last"), _ALL)),
        *energy,
        "voiced_per_s",
        *(f"{kind}_s.{stat}" for kind, stat in product(("voiced", "unvoiced", "pause"), _DURATION)),
        *(f"{over}_over_{under}" for over, under in _RATIOS),
    ]


class Prosody:
    """The prosody features as a feature."""

    name, version, rate, layers = "prosody", "1", RATE, 1

    @property
    def values(self) -> int:
        """103."""
        return len(names())

    def vectors(self, windows: Sequence[Array]) -> Array:
        """(n, 1, 103)."""
        return np.array([prosody(window) for window in windows], np.float32).reshape(-1, 1, self.values)


def prosody(window: Array) -> Floats:
    """The window's 103 values, named by `names`."""
    samples = window - window.mean(dtype=np.float64)
    samples = samples / (np.abs(samples).max() or 1.0)
    return static(samples, f0(samples, RATE, PITCH))


def static(samples: Floats, pitch: Floats) -> Floats:
    """The 103 values of samples whose peak is 1 and the pitch of each of their frames, 0 where it is unvoiced."""
    voiced = _runs(samples, pitch > 0)
    unvoiced = _runs(samples, pitch == 0)
    pauses = [run for run in unvoiced if len(run) > PAUSE]
    consonants = [run for run in unvoiced if len(run) <= PAUSE]
    rate = RATE * len(voiced) / len(samples)
    return np.concatenate(
        [_melody(pitch), _energy(voiced), _energy(consonants), [rate], _durations(voiced, consonants, pauses)]
    )


def _runs(samples: Floats, mask: NDArray[np.bool_]) -> list[Floats]:
    """The samples of each run of frames but the last, from its second frame on."""
    at = np.flatnonzero(mask)
    ends = np.flatnonzero(np.diff(at) > 1)
    starts = np.concatenate([at[:1], at[ends + 1]])
    return [samples[(start + 1) * STEP : (end + 1) * STEP] for start, end in zip(starts, at[ends], strict=False)]


def _melody(pitch: Floats) -> Floats:
    """30 values of the pitch: of all, of a line through each run, of the first run and the last."""
    pieces = np.split(pitch, np.flatnonzero(pitch == 0) + 1)
    runs = [piece[:-1] for piece in pieces if len(piece) > 1]
    if not runs:
        return np.zeros(30)
    lines = np.array([_line(run) for run in runs if len(run) > 1] or [(0.0, 0.0)])  # (runs, 2)
    stats = [_moments(column, _ALL) for column in lines.T]
    return np.concatenate(
        [_moments(pitch[pitch > 0], _ALL), np.ravel(stats, "F"), *(_moments(runs[at], _ALL) for at in (0, -1))]
    )


def _energy(runs: Sequence[Floats]) -> Floats:
    """24 values of the energy in dB: of each run, of a line through each, of the first run and the last."""
    if len(runs) < 2:
        return np.zeros(24)
    contours = [_decibels(run) for run in runs]
    longer = [contour for contour in contours if len(contour) > 1]
    means = np.mean([_moments(contour, _SHAPE) for contour in longer] or [np.zeros(4)], axis=0)
    lines = np.array([_line(contour) for contour in longer] or [(0.0, 0.0)])
    first = next((contour for contour in contours if len(contour)), contours[0])
    last = contours[-1] if len(contours[-1]) or len(runs) == 2 else contours[-2]  # a first run is never the last too
    ends = [_moments(contour, _ALL) for contour in (first, last)]
    return np.concatenate([means, *(_moments(column, _SHAPE) for column in lines.T), *ends])


def _decibels(run: Floats) -> Floats:
    """Energy of each frame of a run."""
    count = max(len(run) // STEP - 1, 0)
    frames = [run[at * STEP : at * STEP + FRAME] for at in range(count)]
    return 10 * np.log10([max(float(np.mean(frame**2)), SILENCE) for frame in frames])


def _durations(*kinds: Sequence[Floats]) -> Floats:
    """24 values of how long voiced runs, unvoiced runs and pauses are, in s, and of their ratios."""
    seconds = [np.array([len(run) for run in runs]) / RATE for runs in kinds]
    stats = [_moments(each, _DURATION) if len(each) > 1 else np.zeros(6) for each in seconds]
    voiced, unvoiced, pause = (each[0] for each in stats)
    means = {"voiced": voiced, "unvoiced": unvoiced, "pause": pause, "speech": voiced + unvoiced}
    known = voiced and unvoiced and pause
    ratios = [means[over] / means[under] if known else 0.0 for over, under in _RATIOS]
    return np.concatenate([*stats, ratios])


def _line(values: Floats) -> tuple[float, float]:
    """Slope a second of the regression line through values a step apart, and its mean squared error."""
    time = np.arange(len(values)) * STEP_S
    slope, offset = np.polyfit(time, values, 1)
    return float(slope), float(np.mean((values - slope * time - offset) ** 2))


def _moments(values: Floats, stats: Sequence[str]) -> Floats:
    """The named statistics; zeros where there are no values, skewness and kurtosis (excess) biased, 0 of a constant."""
    if not len(values):
        return np.zeros(len(stats))
    mean, std = values.mean(), values.std()
    flat = std <= 1e-12 * abs(mean)
    scaled = (values - mean) / (1 if flat else std)
    found = {
        "mean": mean,
        "std": std,
        "max": values.max(),
        "min": values.min(),
        "skewness": 0 if flat else (scaled**3).mean(),
        "kurtosis": 0 if flat else (scaled**4).mean() - 3,
    }
    return np.array([found[stat] for stat in stats])
