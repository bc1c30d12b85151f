"""Contours of a window for `functionals-2`: spectrum, pitch and voice quality, frame by frame, at 8 or 16 kHz.

A frame is 48 ms, a hop 16 ms, a bin 15.625 Hz at either rate: what lies under 3.7 kHz is measured in one way in both
bands, and at 16 kHz eight bands above it are added.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from services.emotion.features.measures import Array, Mask, cosines, db, db_ratio, mel_filters, percentiles

FRAME_MS, HOP_MS = 48, 16
FRAME_RATE = 1000 / HOP_MS
BIN_HZ = 15.625
BANDS, BAND_HZ = 24, (200.0, 3700.0)  #: inside what a telephone line passes
HIGH_BANDS, HIGH_HZ = 8, (3700.0, 7600.0)  #: at 16 kHz alone
CEPSTRA = 13
DEPTH_DB = np.float32(30)  #: under a band's loud frames: what is quieter is the line's noise, not the voice
LINE_BINS = 241  #: up to 3,750 Hz
PITCH_BINS = 96  #: under 1,500 Hz, where pitch is looked for
PITCH_RATE, LAGS = 8000, (16, 128)  #: lags of this rate: pitch from 500 down to 62.5 Hz
OCTAVE = 0.03
VOICED = 0.5  #: normalised autocorrelation at the pitch lag
FORMANTS_HZ = ((200, 1000), (700, 2400), (1800, 3700))  #: where the first three mostly lie
REGIONS = ((0, 7), (7, 14), (14, 20), (20, 24))  #: mel bands
HARMONICS = np.arange(1, 13)
TOP_HARMONIC_BIN = 180  #: about 2.8 kHz
TINY = float(np.finfo(np.float32).tiny)

SHAPE = ("centroid", "spread", "median_band", "rolloff_band", "flatness", "flux", "tilt", "peak_tilt")
QUALITY = (
    *("formant1", "formant2", "formant3", "h1_h2", "h1_h3", "h1"),
    *("region1_2", "region1_3", "region1_4", "region2_3", "harmonics4", "harmonics12"),
)


@dataclass(frozen=True, slots=True)
class Voice:
    """What varies from frame to frame."""

    mel: Array  #: (frames, bands) dB under the window's loud frames
    cepstra: Array  #: (frames, CEPSTRA) of the bands under 3.7 kHz
    shape: Array  #: (frames, 8), named by `SHAPE`
    harmonicity: Array  #: (frames,) dB
    energy: Array  #: (frames,) dB under the loud frames
    quality: Array  #: (frames, 12), named by `QUALITY`, meaningful where voiced
    pitch: Array  #: (frames,) semitones above 62.5 Hz, meaningful where voiced
    active: Mask  #: (frames,) loud enough to be speech
    voiced: Mask  #: (frames,)


def voice(samples: Array, rate: int) -> Voice:
    """Contours of one window of at least `FRAME_MS`, at 8,000 or 16,000 Hz."""
    power = _power(samples, rate)
    total = power[:, :LINE_BINS].sum(axis=1)
    loud = max(float(np.percentile(total, 95)), 1e-4 * float(total.max()), TINY)
    energy = np.maximum(db(total / loud), -DEPTH_DB)
    mel = db(power @ _filters(rate) / loud)  # (frames, bands)
    mel = np.maximum(mel, percentiles(mel, (0.95,)) - DEPTH_DB)
    strength, hertz = _pitch(power[:, :PITCH_BINS])
    line, low = power[:, :LINE_BINS], mel[:, :BANDS]
    active = energy > -DEPTH_DB
    return Voice(
        mel=mel,
        cepstra=low @ cosines(BANDS, CEPSTRA),
        shape=_shape(line, low),
        harmonicity=db_ratio(strength),
        energy=energy,
        quality=_quality(line, hertz, low),
        pitch=(12 * np.log2(hertz / 62.5)).astype(np.float32),
        active=active if active.any() else np.ones_like(active),  # silence: every frame is as loud as any other
        voiced=active & (strength > VOICED),
    )


def _power(samples: Array, rate: int) -> Array:
    """Power spectrum of each frame: (frames, 257 or 513)."""
    size, hop = rate * FRAME_MS // 1000, rate * HOP_MS // 1000
    centred = samples - samples.mean(dtype=np.float64).astype(np.float32)
    spectrum = np.fft.rfft(sliding_window_view(centred, size)[::hop] * _taper(size), round(rate / BIN_HZ))
    return (spectrum.real**2 + spectrum.imag**2).astype(np.float32, copy=False)


def _pitch(power: Array) -> tuple[Array, Array]:
    """Periodicity (0 to 1) and pitch (Hz) of each frame, by autocorrelation of what lies under 1.5 kHz."""
    matrix, weights = _correlation()
    correlation = power @ matrix / np.maximum(power @ weights, TINY)[:, None]  # (frames, lags)
    before, peak, after = correlation[:, :-2], correlation[:, 1:-1], correlation[:, 2:]
    lags = np.arange(LAGS[0], LAGS[1] + 1)
    # Each octave down costs something: else the multiples of a period count as well as the period.
    cost = (OCTAVE * np.log2(lags / LAGS[0])).astype(np.float32)
    best = np.where((peak >= before) & (peak >= after), np.clip(peak, 0, 1) - cost, -1).argmax(axis=1)
    rows = np.arange(len(power))
    before, peak, after = before[rows, best], peak[rows, best], after[rows, best]
    shift = np.clip(0.5 * (before - after) / np.minimum(before - 2 * peak + after, -1e-6), -0.5, 0.5)
    height = np.clip(peak - 0.25 * (before - after) * shift, 0, 1)  # over 1 in a dip between syllables
    found = np.where((peak >= before) & (peak >= after), height, 0)
    return found.astype(np.float32), (PITCH_RATE / (lags[best] + shift)).astype(np.float32)


def _shape(power: Array, mel: Array) -> Array:
    """Where the energy lies and how peaked it is: (frames, 8)."""
    total, first, second, low = (power @ _moments()).T
    total = np.maximum(total, TINY)
    centroid = first / total
    spread = np.sqrt(np.maximum(second / total - centroid**2, 0))
    bands = np.power(np.float32(10), mel / 10)
    rising = np.cumsum(bands, axis=1)
    median, rolloff = ((rising < part * rising[:, -1:]).sum(axis=1) for part in (0.5, 0.85))
    flatness = mel.mean(axis=1) - db(bands.mean(axis=1))
    flux = np.abs(np.diff(mel, axis=0, prepend=mel[:1])).mean(axis=1)
    peak_tilt = mel[:, :16].max(axis=1) - mel[:, 16:].max(axis=1)  # about 2 kHz
    columns = (centroid, spread, median, rolloff, flatness, flux, db_ratio(low / total), peak_tilt)
    return np.stack(columns, axis=1).astype(np.float32)


def _quality(power: Array, hertz: Array, mel: Array) -> Array:
    """Formants, first harmonics, regions and how far harmonics stand out: (frames, 12), named by `QUALITY`."""
    sums = np.sqrt(power) @ _formants()
    formants = sums[:, 1::2] / np.maximum(sums[:, ::2], TINY)  # subband centroids, Hz
    level = db(power / np.maximum(power.max(axis=1, keepdims=True), TINY))
    bins = hertz / BIN_HZ
    first, second, third = (_harmonic(level, bins * number) for number in (1, 2, 3))
    peaks = [mel[:, low:high].max(axis=1) for low, high in REGIONS]
    regions = [peaks[0] - peaks[1], peaks[0] - peaks[2], peaks[0] - peaks[3], peaks[1] - peaks[2]]
    out = _standing_out(level, bins)
    columns = (formants, first - second, first - third, first, *regions, *out)
    return np.column_stack(columns).astype(np.float32)


def _harmonic(level: Array, at: Array) -> Array:
    """The level of the strongest of the three bins around `at`, dB."""
    middle = np.clip(np.rint(at).astype(np.int64), 1, LINE_BINS - 2)
    rows = np.arange(len(level))
    return np.maximum(np.maximum(level[rows, middle - 1], level[rows, middle]), level[rows, middle + 1])


def _standing_out(level: Array, bins: Array) -> tuple[Array, Array]:
    """How far the first 4 and the first 12 harmonics stand above the valleys behind them, dB."""
    rows = np.arange(len(level))[:, None]
    at, behind = (
        np.clip(np.rint(bins[:, None] * (HARMONICS + half)).astype(np.int64), 1, TOP_HARMONIC_BIN + 10)
        for half in (0.0, 0.5)
    )
    height = level[rows, at] - level[rows, behind]
    inside = bins[:, None] * HARMONICS < TOP_HARMONIC_BIN
    return height[:, :4].mean(axis=1), (height * inside).sum(axis=1) / np.maximum(inside.sum(axis=1), 1)


@cache
def _taper(size: int) -> Array:
    return np.hanning(size + 2)[1:-1].astype(np.float32)


@cache
def _filters(rate: int) -> Array:
    """(bins, bands)."""
    hertz = np.arange(round(rate / BIN_HZ) // 2 + 1) * BIN_HZ
    low = mel_filters(BANDS, BAND_HZ, hertz)
    return low if rate == PITCH_RATE else np.hstack([low, mel_filters(HIGH_BANDS, HIGH_HZ, hertz)])


@cache
def _correlation() -> tuple[Array, Array]:
    """From power to autocorrelation (bins, lags), over the taper's own (Boersma 1993); and to that at lag 0 (bins,)."""
    bins, lags = np.arange(PITCH_BINS), np.arange(LAGS[0] - 1, LAGS[1] + 2)
    weights = np.clip(2 - 2 * bins * BIN_HZ / 1500, 0, 1) * np.where(bins == 0, 1, 2)
    taper = _taper(PITCH_RATE * FRAME_MS // 1000).astype(np.float64)
    own = np.correlate(taper, taper, "full")[len(taper) - 1 :]
    waves = np.cos(2 * np.pi * bins[:, None] * lags * BIN_HZ / PITCH_RATE)
    return (weights[:, None] * waves / (own[lags] / own[0])).astype(np.float32), weights.astype(np.float32)


@cache
def _moments() -> Array:
    """Sum, first and second moment, and the part under 1 kHz: (bins, 4)."""
    hertz = np.arange(LINE_BINS) * BIN_HZ
    return np.stack([np.ones(LINE_BINS), hertz, hertz**2, hertz < 1000], axis=1).astype(np.float32)


@cache
def _formants() -> Array:
    """Weight and weighted frequency of each of `FORMANTS_HZ`: (bins, 6)."""
    hertz = np.arange(LINE_BINS) * BIN_HZ
    inside = [((hertz >= low) & (hertz <= high)).astype(np.float64) for low, high in FORMANTS_HZ]
    return np.stack([column for part in inside for column in (part, part * hertz)], axis=1).astype(np.float32)
