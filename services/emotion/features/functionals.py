"""Weight-free functionals: one vector that describes how a window sounds, whatever its length and level.

A window is float32, mono, at `RATE`. Its frames become contours (log-mel, cepstrum, spectral shape, loudness,
periodicity, pitch), and statistics of the contours become the vector. No part depends on the recording's gain.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from services.emotion.features.measures import cosines, db, db_ratio, deltas, mel_filters, percentiles, runs

FEATURE = "functionals-1"  #: name and version; a change of any value below is a new version
RATE = 8000

FRAME = 384  #: samples, 48 ms: long enough for a pitch of 62.5 Hz
HOP = 80  #: samples, 10 ms
FFT = 512  #: FRAME and the longest lag fit without wrapping round
BANDS = 24
BAND_HZ = (200.0, 3700.0)  #: inside what a telephone line passes
CEPSTRA = 13
DEPTH_DB = 30.0  #: under a band's loud frames: what is quieter is the line's noise, not the voice
LAGS = (16, 128)  #: samples: pitch from 500 down to 62.5 Hz
OCTAVE = 0.03
PITCH_BAND_HZ = 1500.0
VOICED = 0.5  #: normalised autocorrelation at the pitch lag
PERCENTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MODULATION_HZ = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
MODULATION_FFT = 2048  #: frames; a window of 20 s has 1,996

FRAME_RATE = RATE / HOP
AT_A_TIME = 32  #: frames looked at together where only some are looked for
TINY = float(np.finfo(np.float32).tiny)

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Contours:
    """What varies from frame to frame."""

    values: Array  #: (frames, contours), named by `contour_names`
    active: Mask  #: (frames,) loud enough to be speech
    voiced: Mask  #: (frames,)
    pitch: Array  #: (frames,) semitones above 62.5 Hz, meaningful where voiced


def contours(samples: Array) -> Contours:
    """Contours of one window of at least `FRAME` samples, not constant."""
    power = _power(_frames(samples))  # (frames, 257)
    loud, energy = _energy(power.sum(axis=1))
    mel = db(power @ _mel_filters() / loud)  # (frames, BANDS)
    mel = np.maximum(mel, percentiles(mel, (0.95,)) - np.float32(DEPTH_DB))
    strength, pitch = _pitch(power)
    active = energy > -DEPTH_DB
    columns = (mel, mel @ _cosines(), _shape(power, mel), db_ratio(strength)[:, None], energy[:, None])
    return Contours(np.hstack(columns), active, active & (strength > VOICED), pitch)


def is_voiced(samples: Array, least: int) -> bool:
    """Whether `contours` would find at least this many voiced frames. It stops looking where they are found."""
    frames = _frames(samples)
    active = np.flatnonzero(_energy(_total(frames))[1] > -DEPTH_DB)
    found = 0
    for start in range(0, len(active), AT_A_TIME):
        strength, _ = _pitch(_power(frames[active[start : start + AT_A_TIME]]))
        found += int((strength > VOICED).sum())
        if found >= least:
            return True
    return found >= least


def contour_names() -> list[str]:
    """Names of the columns of `Contours.values`."""
    mel = [f"mel{band}" for band in range(BANDS)]
    cepstra = [f"c{index}" for index in range(CEPSTRA)]
    shape = ["centroid", "spread", "median_hz", "rolloff_hz", "flatness", "flux", "tilt", "peak_tilt"]
    return [*mel, *cepstra, *shape, "harmonicity", "energy"]


def functionals(found: Contours) -> Array:
    """The window's vector, float32, named by `names`."""
    values = found.values
    moves = deltas(values)
    parts = (
        _distribution(values[found.active]),
        _movement(moves[found.active]),
        _voiced(values, found.voiced),
        _modulation(values[:, :BANDS]),
        _melody(found),
        _rhythm(found),
    )
    return np.concatenate([np.ravel(part) for part in parts]).astype(np.float32)


def names() -> list[str]:
    """Names of the values of `functionals`, in order."""
    contour = contour_names()
    levels = [f"p{round(level * 100):02d}" for level in PERCENTILES]
    bands = [f"modulation_{low:g}_{high:g}hz" for low, high in pairwise(MODULATION_HZ)]
    return [
        *(f"{name}.{stat}" for stat in ["mean", "std", "skew", *levels] for name in contour),
        *(f"{name}.delta_{stat}" for stat in ["std", "abs", "p05", "p95"] for name in contour),
        *(f"{name}.voiced_{stat}" for stat in ["mean", "std"] for name in contour),
        *(f"mel{band}.{name}" for name in bands for band in range(BANDS)),
        *(f"pitch.{stat}" for stat in _MELODY),
        *(f"rhythm.{stat}" for stat in _RHYTHM),
    ]


_MELODY = ("mean", "std", "p05", "p25", "p50", "p75", "p95", "slope", "delta_std", "delta_abs", "rise", "fall")
_RHYTHM = ("active", "voiced", "runs_s", "run_mean", "run_std", "active_runs_s", "peaks_s", "peak_std")


class Functionals:
    """The functionals as a feature."""

    name, version, rate, layers = FEATURE, FEATURE, RATE, 1

    @property
    def values(self) -> int:
        """As many as there are names."""
        return len(names())

    def vectors(self, windows: Sequence[Array]) -> Array:
        """(n, 1, values)."""
        return np.stack([functionals(contours(window)) for window in windows])[:, None]


def _distribution(values: Array) -> Array:
    mean, std = values.mean(axis=0), values.std(axis=0)
    skew = (((values - mean) / (std + 1e-3)) ** 3).mean(axis=0)
    return np.vstack([mean, std, skew, percentiles(values, PERCENTILES)])  # (8, contours)


def _movement(moves: Array) -> Array:
    spread = np.vstack([moves.std(axis=0), np.abs(moves).mean(axis=0)])
    return np.vstack([spread, percentiles(moves, (0.05, 0.95))])  # (4, contours)


def _voiced(values: Array, voiced: Mask) -> Array:
    """Mean and spread of the contours over the vowels alone; zeros where nothing is voiced."""
    if not voiced.any():
        return np.zeros((2, values.shape[1]), np.float32)
    chosen = values[voiced]
    return np.vstack([chosen.mean(axis=0), chosen.std(axis=0)])


def _modulation(mel: Array) -> Array:
    """How strongly each band swings at each tempo, dB: (tempi, BANDS)."""
    frames = len(mel)
    spectrum = np.fft.rfft((mel - mel.mean(axis=0)).T, MODULATION_FFT)[..., : MODULATION_FFT // 2]
    power = (spectrum.real**2 + spectrum.imag**2) / frames  # (BANDS, bins)
    edges = [round(hz * MODULATION_FFT / FRAME_RATE) for hz in MODULATION_HZ]
    sums = np.add.reduceat(power, edges, axis=1)[:, :-1] / np.diff(edges)  # (BANDS, tempi)
    return (10 * np.log10(sums + 1e-3)).T


def _melody(found: Contours) -> Array:
    """Statistics of the pitch over voiced frames, in the order of `_MELODY`; zeros where nothing is voiced."""
    pitch, at = found.pitch[found.voiced], np.flatnonzero(found.voiced)
    if len(pitch) < 2:
        return np.zeros(len(_MELODY), np.float32)
    step = np.diff(pitch)[np.diff(at) == 1]
    step = step if len(step) else np.zeros(1, np.float32)
    rise, fall = step[step > 0], step[step < 0]
    ends = [rise.mean() if len(rise) else 0.0, fall.mean() if len(fall) else 0.0]
    spread = [step.std(), np.abs(step).mean(), *ends]
    return np.array(
        [pitch.mean(), pitch.std(), *np.percentile(pitch, [5, 25, 50, 75, 95]), _slope(pitch, at), *spread],
        np.float32,
    )


def _rhythm(found: Contours) -> Array:
    """Statistics of when there is voice, in the order of `_RHYTHM`."""
    seconds = len(found.active) / FRAME_RATE
    vowels = runs(found.voiced) / FRAME_RATE
    vowels = vowels if len(vowels) else np.zeros(1)
    heights = _peaks(found.values[:, -1])
    shares = [found.active.mean(), found.voiced.mean()]
    tempo = [len(vowels) / seconds, vowels.mean(), vowels.std(), len(runs(found.active)) / seconds]
    return np.array([*shares, *tempo, len(heights) / seconds, heights.std() if len(heights) else 0.0], np.float32)


def _peaks(energy: Array) -> Array:
    """Heights of the syllable peaks: local maxima of the smoothed loudness in the upper 20 dB."""
    smooth = np.convolve(energy, np.full(7, 1 / 7, np.float32), "same")
    inner = smooth[1:-1]
    return inner[(inner > smooth[:-2]) & (inner >= smooth[2:]) & (inner > -20)]


def _frames(samples: Array) -> Array:
    """(frames, FRAME), without the window's mean, not tapered."""
    centred = samples - samples.mean(dtype=np.float64).astype(np.float32)
    return sliding_window_view(centred, FRAME)[::HOP]


def _power(frames: Array) -> Array:
    """(frames, 257), of each bin."""
    spectrum = np.fft.rfft(frames * _taper(), FFT)
    power: Array = (spectrum.real**2 + spectrum.imag**2).astype(np.float32, copy=False)
    return power


def _total(frames: Array) -> Array:
    """(frames,): the sum of `_power` without the spectrum: by Parseval, and two bins have no mirror image."""
    tapered = frames * _taper()
    once = ((tapered @ _unmirrored()) ** 2).sum(axis=1)
    total: Array = (FFT * np.vecdot(tapered, tapered) + once) / 2
    return total


def _energy(total: Array) -> tuple[float, Array]:
    """The power of the loud frames, and of each (frames,) in dB against it, from -`DEPTH_DB` on."""
    loud = max(float(np.percentile(total, 95)), 1e-4 * float(total.max()), TINY)
    return loud, np.maximum(db(total / loud), -DEPTH_DB)


def _pitch(power: Array) -> tuple[Array, Array]:
    """Periodicity (0 to 1) and pitch (semitones above 62.5 Hz) of each frame, by autocorrelation."""
    low, high = LAGS
    smooth = power * _low_pass()  # else a period that falls between two samples loses to its double
    correlation = np.fft.irfft(smooth, FFT)[:, low - 1 : high + 2]  # (frames, lags)
    correlation /= np.maximum(smooth @ _weights(), TINY)[:, None] * _taper_correlation()[low - 1 : high + 2]
    before, peak, after = correlation[:, :-2], correlation[:, 1:-1], correlation[:, 2:]
    bend = np.minimum(before - 2 * peak + after, -1e-6)
    shift = np.clip(0.5 * (before - after) / bend, -0.5, 0.5)
    height = np.clip(peak - 0.25 * (before - after) * shift, 0, 1)  # over 1 in a dip between syllables
    top = np.where((peak >= before) & (peak >= after), height, 0)
    lags = np.arange(low, high + 1)
    # Each octave down costs something: else the multiples of a period count as well as the period.
    best = (top - OCTAVE * np.log2(lags / low)).argmax(axis=1)
    rows = np.arange(len(power))
    lag = lags[best] + shift[rows, best]
    return top[rows, best].astype(np.float32), (12 * np.log2(RATE / 62.5 / lag)).astype(np.float32)


def _shape(power: Array, mel: Array) -> Array:
    """Where the energy lies and how peaked it is: (frames, 8)."""
    hertz = np.fft.rfftfreq(FFT, 1 / RATE).astype(np.float32)
    share = power / np.maximum(power.sum(axis=1, keepdims=True), TINY)
    centroid = share @ hertz
    spread = np.sqrt(np.maximum(share @ hertz**2 - centroid**2, 0))
    rising = np.cumsum(share, axis=1)
    bin_hz = RATE / FFT
    median, rolloff = ((rising < part).sum(axis=1) * bin_hz for part in (0.5, 0.85))
    flatness = mel.mean(axis=1) - db(np.power(10, mel / 10).mean(axis=1))
    flux = np.abs(np.diff(mel, axis=0, prepend=mel[:1])).mean(axis=1)
    split = round(1000 / bin_hz)
    tilt = db_ratio(share[:, :split].sum(axis=1))
    middle = BANDS * 2 // 3  # about 2 kHz
    peak_tilt = mel[:, :middle].max(axis=1) - mel[:, middle:].max(axis=1)
    columns = (centroid, spread, median, rolloff, flatness, flux, tilt, peak_tilt)
    return np.stack(columns, axis=1).astype(np.float32)


def _slope(values: Array, at: NDArray[np.int64]) -> float:
    """Rise a second of a regression line through `values` at frames `at`."""
    time = (at - at.mean()) / FRAME_RATE
    return float(time @ (values - values.mean()) / max(float(time @ time), 1e-3))


@cache
def _taper() -> Array:
    return np.hanning(FRAME + 2)[1:-1].astype(np.float32)


@cache
def _unmirrored() -> Array:
    """(FRAME, 2): the waves of the spectrum's first bin and of its last."""
    return np.stack([np.ones(FRAME), np.resize([1, -1], FRAME)], axis=1).astype(np.float32)


@cache
def _taper_correlation() -> Array:
    """The taper's own autocorrelation, which the frame's is divided by (Boersma 1993)."""
    power = np.abs(np.fft.rfft(_taper(), FFT)) ** 2
    correlation = np.fft.irfft(power, FFT)[: LAGS[1] + 2]
    relative: Array = (correlation / correlation[0]).astype(np.float32)
    return relative


@cache
def _low_pass() -> Array:
    """Gain of each bin in the search for the pitch: 1 up to half of `PITCH_BAND_HZ`, then falling to 0."""
    hertz = np.fft.rfftfreq(FFT, 1 / RATE)
    gains: Array = np.clip(2 - 2 * hertz / PITCH_BAND_HZ, 0, 1).astype(np.float32)
    return gains


@cache
def _weights() -> Array:
    """What each bin of a power spectrum adds to the autocorrelation at lag 0."""
    weights = np.full(FFT // 2 + 1, 2 / FFT, np.float32)
    weights[[0, -1]] = 1 / FFT
    return weights


@cache
def _mel_filters() -> Array:
    return mel_filters(BANDS, BAND_HZ, np.fft.rfftfreq(FFT, 1 / RATE))  # (257, BANDS)


@cache
def _cosines() -> Array:
    return cosines(BANDS, CEPSTRA)
