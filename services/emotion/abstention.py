"""When a bundle says nothing of a window: it is no speech that can be judged, or lies far from all that was learnt."""

import math
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec
import numpy as np
import soxr
from numpy.typing import NDArray

from services.emotion.features.functionals import FRAME, FRAME_RATE, RATE, is_voiced
from services.emotion.heads import spread
from streams.domain.unlabelled import Unlabelled

Array = NDArray[np.float32]
Groups = NDArray[np.int32]

SILENT_RMS = 1e-3  #: -60 dB of full scale
FULL_SCALE = 0.977  #: 32,000 of 32,768: G.711's last step is 32,124 (mu-law) or 32,256 (A-law)
CLIPPED_SHARE = 0.05
VOICED_S = 0.2
WIDE_HZ = 4200.0  #: a telephone passes nothing above it
WIDE_SHARE = 1e-5  #: of the energy; EmoDB has 2e-3 or more up there, and 2e-8 or less when it comes from a telephone
NEIGHBOURS = 5
PERCENTILE = 99.0
_FARTHEST = 1e6  #: standard deviations; keeps squares finite in float32


class Band(StrEnum):
    """What of a voice the training windows held, and so what is judged."""

    TELEPHONE = "telephone"  #: 8 kHz through G.711; wider windows are narrowed
    WIDE = "wide"  #: as recorded


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Outside of these the bundle abstains; `demo_only`: it must not score real customers."""

    min_ms: int
    max_ms: int
    demo_only: bool


@dataclass(frozen=True, slots=True)
class Reference:
    """The training windows, which a window must lie near to (Sun, Ming, Zhu & Li 2022: deep nearest neighbours)."""

    points: Array = field(repr=False)  #: (windows, values) in standard deviations, not clipped
    groups: Groups = field(repr=False)  #: (windows,) which conversation, else which speaker, each is of
    limit: float  #: a distance over it is out of domain


def unfit(window: Array, rate: int, limits: Limits, band: Band) -> Unlabelled | None:
    """Why the window (mono, full scale 1, at `rate` Hz) cannot be judged, whatever it is described by; None: it can."""
    if not np.isfinite(window).all():
        return Unlabelled.NOT_FINITE
    reason = _length(window, rate, limits) or _level(window)
    if reason is not None:
        return reason
    if band is Band.WIDE and _narrow(window, rate):
        return Unlabelled.BANDWIDTH
    return None if _voiced(window, rate) else Unlabelled.UNVOICED


def _length(window: Array, rate: int, limits: Limits) -> Unlabelled | None:
    if len(window) * 1000 < limits.min_ms * rate or len(window) * RATE < FRAME * rate:
        return Unlabelled.TOO_SHORT
    return Unlabelled.TOO_LONG if len(window) * 1000 > limits.max_ms * rate else None


def _level(window: Array) -> Unlabelled | None:
    if window.std() < SILENT_RMS:
        return Unlabelled.SILENT
    return Unlabelled.CLIPPED if (np.abs(window) >= FULL_SCALE).mean() > CLIPPED_SHARE else None


def _narrow(window: Array, rate: int) -> bool:
    """Whether next to nothing lies above a telephone's band; at a rate that holds no more, no window is too narrow."""
    if rate <= 2 * WIDE_HZ:
        return False
    size = rate * 32 // 1000
    frames = window[: len(window) // size * size].reshape(-1, size) * np.hanning(size).astype(np.float32)
    power = (np.abs(np.fft.rfft(frames)) ** 2).sum(axis=0)
    return bool(power[np.fft.rfftfreq(size, 1 / rate) > WIDE_HZ].sum() < WIDE_SHARE * power.sum())


def _voiced(window: Array, rate: int) -> bool:
    narrow = window if rate == RATE else soxr.resample(window, rate, RATE)
    return is_voiced(narrow, math.ceil(VOICED_S * FRAME_RATE))


def placed(vectors: NDArray[np.floating], mean: NDArray[np.float64], scale: NDArray[np.float64]) -> Array:
    """Vectors (n, values) in units of the training windows' spread, as a reference holds them: float32."""
    return spread(vectors, mean, scale, _FARTHEST)


def refer(points: Array, groups: Groups) -> Reference:
    """The reference that these training windows (windows, values) make.

    Its limit is the 99th percentile of their own distances, each from the windows of other groups: a window is near
    to what the same voice said in the same call, and that tells nothing about a voice that is new.
    """
    own = np.empty(len(points), np.float32)
    for group in np.unique(groups):
        inside = groups == group
        own[inside] = distances(points[inside], points[~inside])
    return Reference(points, groups, float(np.percentile(own, PERCENTILE)))


def out_of_domain(reference: Reference, points: Array) -> NDArray[np.bool_]:
    """(n,): whether each point (n, values) is farther from the training windows than they are from each other."""
    near = distances(points, reference.points) <= reference.limit
    return ~near  # what is no number is not near


def distances(points: Array, others: Array) -> Array:
    """(n,): Euclidean distance of each point (n, values) from the fifth nearest of the others (windows, values)."""
    squares = (points**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * points @ others.T
    fifth = min(NEIGHBOURS, len(others)) - 1
    nearest: Array = np.sqrt(np.maximum(np.partition(squares, fifth, axis=1)[:, fifth], 0))
    return nearest
