"""Windows in, judgements out: what a bundle says of each window, or why it says nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.emotion.bundle import Bundle, Limits
from services.emotion.features import FRAME, FRAME_RATE, RATE, Contours, contours, functionals
from services.emotion.heads import decisions, probabilities
from streams.domain.records import Outcome
from streams.domain.unlabelled import Unlabelled

Array = NDArray[np.float32]

SILENT_RMS = 1e-3  #: -60 dB of full scale
FULL_SCALE = 0.977  #: 32,000 of 32,768: G.711's last step is 32,124 (mu-law) or 32,256 (A-law)
CLIPPED_SHARE = 0.05
VOICED_S = 0.2

_FAILED = {Unlabelled.NOT_FINITE, Unlabelled.REFUSED}


@dataclass(frozen=True, slots=True)
class Judgements:
    """What is said of n windows; where a reason stands, the window's probabilities are zeros."""

    reasons: tuple[Unlabelled | None, ...]
    probabilities: dict[str, Array]  #: head -> (n, classes)


def outcome_of(reason: Unlabelled | None) -> Outcome:
    """The outcome that goes with a reason."""
    if reason is None:
        return Outcome.LABELLED
    return Outcome.FAILED if reason in _FAILED else Outcome.ABSTAINED


def judge(bundle: Bundle, windows: Sequence[Array]) -> Judgements:
    """Judge each window (float32, mono, at the bundle's rate, full scale 1) for itself; neighbours do not matter."""
    reasons, vectors = [], []
    for window in windows:
        reason, vector = describe(window, bundle.manifest.limits)
        reasons.append(reason)
        vectors.append(vector)
    sizes = {head: len(classes) for head, classes in bundle.heads.classes.items()}
    found = {head: np.zeros((len(windows), size), np.float32) for head, size in sizes.items()}
    at = [index for index, vector in enumerate(vectors) if vector is not None]
    if at:
        scores = decisions(bundle.heads, np.stack([vector for vector in vectors if vector is not None]))
        for head, rows in probabilities(bundle.heads, scores).items():
            found[head][at] = rows
    return _only_finite(reasons, found)


def describe(window: Array, limits: Limits) -> tuple[Unlabelled | None, Array | None]:
    """The window's vector, or the reason why it has none."""
    reason = _unfit(window, limits)
    if reason is not None:
        return reason, None
    found = contours(window)
    if not _voiced_enough(found):
        return Unlabelled.UNVOICED, None
    vector = functionals(found)
    return (None, vector) if np.isfinite(vector).all() else (Unlabelled.NOT_FINITE, None)


def _unfit(window: Array, limits: Limits) -> Unlabelled | None:
    if not np.isfinite(window).all():
        return Unlabelled.NOT_FINITE
    if len(window) < max(limits.min_ms * RATE // 1000, FRAME):
        return Unlabelled.TOO_SHORT
    if len(window) > limits.max_ms * RATE // 1000:
        return Unlabelled.TOO_LONG
    if window.std() < SILENT_RMS:
        return Unlabelled.SILENT
    return Unlabelled.CLIPPED if (np.abs(window) >= FULL_SCALE).mean() > CLIPPED_SHARE else None


def _voiced_enough(found: Contours) -> bool:
    return int(found.voiced.sum()) >= VOICED_S * FRAME_RATE


def _only_finite(reasons: list[Unlabelled | None], found: dict[str, Array]) -> Judgements:
    """Nothing that is no number ever becomes a label."""
    finite = np.all([np.isfinite(rows).all(axis=1) for rows in found.values()], axis=0)
    for index in np.flatnonzero(~finite):
        reasons[index] = Unlabelled.NOT_FINITE
        for rows in found.values():
            rows[index] = 0
    return Judgements(tuple(reasons), found)
