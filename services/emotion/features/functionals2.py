"""`functionals-2`: how contours move, go together and run over a window, in numpy, with no weights.

Beside what `functionals-1` has: voice quality over the vowels, how every contour follows loudness and pitch, its course
over the window, and a log-Euclidean covariance (Arsigny et al. 2006). No part depends on the recording's gain, and
no other window of the speaker is used.
"""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from services.emotion.features.measures import Array, Mask, cosines, deltas, percentiles, runs
from services.emotion.features.voice import (
    BANDS,
    CEPSTRA,
    FRAME_RATE,
    HIGH_BANDS,
    QUALITY,
    SHAPE,
    Voice,
    voice,
)

PERCENTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MODULATION_HZ = (0.5, 1, 2, 4, 8, 16, 31.25)
MODULATION_FFT = 1280  #: frames; a window of 20 s has 1,248
COURSE = 4  #: cosines over the window, the slowest half a wave
RIDGE = 1.0  #: of a covariance, in square dB: differences under it are noise
COARSE = 3  #: mel bands to a column of the joint covariance

STATS = ("mean", "std", "skew", *(f"p{round(level * 100):02d}" for level in PERCENTILES))
MELODY = (
    *("mean", "std", "p05", "p25", "p50", "p75", "p95", "quartiles", "range", "slope", "delta_std", "delta_abs"),
    *("rise", "fall", "rising", "jitter", "run_slope", "run_slope_std", "run_range", "run_range_max"),
    *("end", "start", "halves"),
)
RHYTHM = (
    *("active", "voiced", "runs_s", "run_mean", "run_std", "run_max", "gap_mean", "gap_std", "active_runs_s"),
    *("active_run_mean", "peaks_s", "peak_mean", "peak_std", "interval_mean", "interval_std", "delta_abs"),
)


class Functionals2:
    """The functionals of a telephone's band, for windows at 8 kHz."""

    name = version = "functionals-2"
    rate, layers = 8000, 1

    @property
    def values(self) -> int:
        """As many as there are names."""
        return len(names(self.rate))

    def vectors(self, windows: Sequence[Array]) -> Array:
        """(n, 1, values)."""
        return np.stack([functionals(voice(window, self.rate)) for window in windows])[:, None]


class Functionals2Wide(Functionals2):
    """The same with the bands up to 7.6 kHz, for windows at 16 kHz."""

    name = version = "functionals-2-wide"
    rate = 16000


def functionals(found: Voice) -> Array:
    """The window's vector, float32, named by `names`."""
    contours = _contours(found)
    moves, active = deltas(contours), found.active
    parts = (
        _movement(moves[active]),
        _vowels(contours, found.voiced),
        _quality(found),
        _modulation(found.mel),
        _melody(found.pitch[found.voiced], np.flatnonzero(found.voiced)),
        _rhythm(found),
        _on_loudness(contours[active], found.energy[active]),
        _on_pitch(contours[found.voiced], found.pitch[found.voiced]),
        _by_loudness(contours[active], found.energy[active]),
        _course(contours, active),
        _joint_covariance(found),
    )
    return np.concatenate([np.ravel(part) for part in parts]).astype(np.float32)


@cache
def names(rate: int) -> tuple[str, ...]:
    """Names of the values of `functionals`, in order: what is measured, a full stop, the statistic."""
    mel = [f"mel{band}" for band in range(BANDS if rate == Functionals2.rate else BANDS + HIGH_BANDS)]
    contours = [*mel, *(f"c{index}" for index in range(CEPSTRA)), *SHAPE, "harmonicity", "energy"]
    tempi = [f"modulation_{low:g}_{high:g}hz" for low, high in pairwise(MODULATION_HZ)]
    per_contour = (
        *("delta_std", "delta_abs", "delta_p05", "delta_p95", "voiced_mean", "voiced_std", None),
        *("on_loudness", "on_pitch", "loud_middle", "middle_quiet", "loud"),
        *(f"course{index}" for index in range(1, COURSE + 1)),
    )
    between = [
        *(f"{name}.voiced_{stat}" for stat in (*STATS, "delta_abs") for name in QUALITY),
        *(f"{name}.{tempo}" for tempo in tempi for name in mel),
        *(f"pitch.{stat}" for stat in MELODY),
        *(f"rhythm.{stat}" for stat in RHYTHM),
    ]
    columns = [[f"{name}.{stat}" for name in contours] if stat else between for stat in per_contour]
    joint = [*(f"coarse{band}" for band in range(BANDS // COARSE)), "harmonicity", "energy", "pitch", *QUALITY[:3]]
    return (
        *(name for column in columns for name in column),
        *_pairs([*joint, *(f"d{name}" for name in joint)]),
    )


def _pairs(columns: Sequence[str]) -> list[str]:
    return [f"joint.{columns[row]}_{columns[column]}" for row, column in zip(*_upper(len(columns)), strict=True)]


def _contours(found: Voice) -> Array:
    lone = (found.harmonicity[:, None], found.energy[:, None])
    return np.hstack([found.mel, found.cepstra, found.shape, *lone])  # (frames, contours)


def _movement(moves: Array) -> Array:
    spread = np.vstack([moves.std(axis=0), np.abs(moves).mean(axis=0)])
    return np.vstack([spread, percentiles(moves, (0.05, 0.95))])  # (4, contours)


def _vowels(contours: Array, voiced: Mask) -> Array:
    """Mean and spread over the vowels alone; zeros where nothing is voiced: (2, contours)."""
    chosen = contours[voiced] if voiced.any() else np.zeros((1, contours.shape[1]), np.float32)
    return np.vstack([chosen.mean(axis=0), chosen.std(axis=0)])


def _quality(found: Voice) -> Array:
    """Distribution and movement of voice quality over the vowels; zeros where nothing is voiced: (9, 12)."""
    if not found.voiced.any():
        return np.zeros((len(STATS) + 1, len(QUALITY)), np.float32)
    values, moves = found.quality[found.voiced], deltas(found.quality)[found.voiced]
    mean, std = values.mean(axis=0), values.std(axis=0)
    skew = (((values - mean) / (std + 1e-3)) ** 3).mean(axis=0)
    return np.vstack([mean, std, skew, percentiles(values, PERCENTILES), np.abs(moves).mean(axis=0)])


def _modulation(mel: Array) -> Array:
    """How strongly each band swings at each tempo, dB: (tempi, bands)."""
    spectrum = np.fft.rfft((mel - mel.mean(axis=0)).T, MODULATION_FFT)[:, : MODULATION_FFT // 2]
    power = (spectrum.real**2 + spectrum.imag**2) / len(mel)
    edges = [round(hz * MODULATION_FFT / FRAME_RATE) for hz in MODULATION_HZ]
    return (10 * np.log10(np.add.reduceat(power, edges[:-1], axis=1) / np.diff(edges) + 1e-3)).T


def _melody(pitch: Array, at: NDArray[np.int64]) -> Array:
    """Statistics of the pitch at the voiced frames `at`, in the order of `MELODY`; zeros under three."""
    if len(pitch) < 3:
        return np.zeros(len(MELODY), np.float32)
    p05, p25, p50, p75, p95 = np.percentile(pitch, [5, 25, 50, 75, 95])
    adjoining = np.diff(at) == 1
    steps = _some(np.clip(np.diff(pitch)[adjoining], -6, 6))  # more is another octave, not a voice
    breaks = np.flatnonzero(~adjoining) + 1
    voiced = [(pitch[run], at[run]) for run in np.split(np.arange(len(pitch)), breaks) if len(run) >= 4]
    slopes = _some(np.array([_slope(*run) for run in voiced]))
    ranges = _some(np.array([np.ptp(values) for values, _ in voiced]))
    half, eighth = len(pitch) // 2, max(len(pitch) // 8, 1)
    return np.array(
        [
            *(pitch.mean(), pitch.std(), p05, p25, p50, p75, p95, p75 - p25, p95 - p05, _slope(pitch, at)),
            *(steps.std(), np.abs(steps).mean(), _some(steps[steps > 0]).mean(), _some(steps[steps < 0]).mean()),
            *((steps > 0).mean(), np.abs(_some(np.diff(steps))).mean()),
            *(slopes.mean(), slopes.std(), ranges.mean(), ranges.max()),
            *(pitch[-eighth:].mean() - p50, pitch[:eighth].mean() - p50, pitch[half:].mean() - pitch[:half].mean()),
        ],
        np.float32,
    )


def _rhythm(found: Voice) -> Array:
    """Statistics of when there is voice, in the order of `RHYTHM`."""
    seconds, energy = len(found.active) / FRAME_RATE, found.energy
    vowels, gaps, active = (_some(runs(mask) / FRAME_RATE) for mask in (found.voiced, ~found.voiced, found.active))
    smooth = np.convolve(energy, np.full(5, 0.2, np.float32), "same")
    inner = smooth[1:-1]
    peaks = np.flatnonzero((inner > smooth[:-2]) & (inner >= smooth[2:]) & (inner > -20))  # syllables
    heights, intervals = _some(inner[peaks]), _some(np.diff(peaks) / FRAME_RATE)
    return np.array(
        [
            *(found.active.mean(), found.voiced.mean(), len(vowels) / seconds, vowels.mean(), vowels.std()),
            *(vowels.max(), gaps.mean(), gaps.std(), len(active) / seconds, active.mean()),
            *(len(peaks) / seconds, heights.mean(), heights.std(), intervals.mean(), intervals.std()),
            np.abs(_some(np.diff(energy))).mean(),
        ],
        np.float32,
    )


def _on_loudness(contours: Array, energy: Array) -> Array:
    """How much each contour changes with a dB of loudness: (contours,)."""
    louder = energy - energy.mean()
    slopes: Array = louder @ (contours - contours.mean(axis=0)) / (louder @ louder + len(louder))
    return slopes


def _on_pitch(contours: Array, pitch: Array) -> Array:
    """How much each contour changes with a semitone over the vowels; zeros under five frames: (contours,)."""
    if len(pitch) < 5:
        return np.zeros(contours.shape[1], np.float32)
    higher = np.clip(pitch - np.median(pitch), -12, 12)
    higher -= higher.mean()
    slopes: Array = higher @ (contours - contours.mean(axis=0)) / (higher @ higher + 0.25 * len(higher))
    return slopes


def _by_loudness(contours: Array, energy: Array) -> Array:
    """The loudest third less the middle one, that less the quietest, and the loudest itself: (3, contours)."""
    order, third = np.argsort(energy, kind="stable"), max(len(energy) // 3, 1)
    middle = order[third:-third] if len(order) > 2 * third else order
    quiet, usual, loud = (contours[at].mean(axis=0) for at in (order[:third], middle, order[-third:]))
    return np.vstack([loud - usual, usual - quiet, loud])


def _course(contours: Array, active: Mask) -> Array:
    """The contours' slow course over the window, pauses at their mean: (COURSE, contours)."""
    held = np.where(active[:, None], contours, contours[active].mean(axis=0))
    return cosines(len(held), COURSE + 1)[:, 1:].T @ held / np.float32(np.sqrt(len(held)))


def _joint_covariance(found: Voice) -> NDArray[np.float64]:
    """Of the spectrum in eight bands, loudness, periodicity, pitch, formants and their deltas over active frames."""
    frames = len(found.mel)
    coarse = found.mel[:, :BANDS].reshape(frames, BANDS // COARSE, COARSE).mean(axis=2)
    heard = found.voiced if found.voiced.any() else found.active
    pitch = np.where(found.voiced, 2 * (found.pitch - np.median(found.pitch[heard])), 0)
    lone = (found.harmonicity, found.energy, pitch)
    columns = np.column_stack([coarse, *lone, found.quality[:, :3] / 100]).astype(np.float32)
    return _log_covariance(np.hstack([columns, 3 * deltas(columns)])[found.active])


def _log_covariance(values: Array) -> NDArray[np.float64]:
    """The upper triangle of the covariance's matrix logarithm, in which covariances may be added and compared."""
    centred = (values - values.mean(axis=0)).astype(np.float64)
    size = centred.shape[1]
    spectrum, axes = np.linalg.eigh(centred.T @ centred / len(centred) + RIDGE * np.eye(size))
    logarithm: NDArray[np.float64] = (axes * np.log(spectrum)) @ axes.T
    return logarithm[_upper(size)]


def _slope(values: Array, at: NDArray[np.int64]) -> float:
    """Rise a second of a regression line through `values` at frames `at`."""
    time = (at - at.mean()) / FRAME_RATE
    return float(time @ (values - values.mean()) / max(float(time @ time), 1e-3))


def _some(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """`values`, or a zero where there are none."""
    return values if len(values) else np.zeros(1)


@cache
def _upper(size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.triu_indices(size)
