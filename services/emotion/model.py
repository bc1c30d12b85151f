"""Windows in, judgements out: what a bundle says of each window, or why it says nothing."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.emotion.bundle import Bundle, Limits
from services.emotion.features.functionals import FRAME, FRAME_RATE, RATE, Contours, contours, functionals
from services.emotion.heads import Heads, decisions, probabilities
from streams.domain.records import Outcome
from streams.domain.unlabelled import Unlabelled

Array = NDArray[np.float32]

SILENT_RMS = 1e-3  #: -60 dB of full scale
FULL_SCALE = 0.977  #: 32,000 of 32,768: G.711's last step is 32,124 (mu-law) or 32,256 (A-law)
CLIPPED_SHARE = 0.05
VOICED_S = 0.2

_FAILED = {Unlabelled.NOT_FINITE, Unlabelled.MODEL_ERROR, Unlabelled.REFUSED}

log = logging.getLogger(__name__)


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
    described = [_described(window, bundle.manifest.limits) for window in windows]
    reasons = [reason for reason, _ in described]
    sizes = {head: len(classes) for head, classes in bundle.heads.classes.items()}
    found = {head: np.zeros((len(windows), size), np.float32) for head, size in sizes.items()}
    _score(bundle.heads, {at: vector for at, (_, vector) in enumerate(described) if vector is not None}, reasons, found)
    return _only_finite(reasons, found)


def _score(
    heads: Heads, vectors: Mapping[int, Array], reasons: list[Unlabelled | None], found: Mapping[str, Array]
) -> None:
    """Fill in what the heads say of these vectors: of all at once; one by one where that raises."""
    if not vectors:
        return
    try:
        rows = probabilities(heads, decisions(heads, np.stack(list(vectors.values()))))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - asking again would not help
        if len(vectors) == 1:
            reasons[next(iter(vectors))] = _raised(error)
            return
        for at, vector in vectors.items():
            _score(heads, {at: vector}, reasons, found)
    else:
        for head, columns in rows.items():
            found[head][list(vectors)] = columns


def _described(window: Array, limits: Limits) -> tuple[Unlabelled | None, Array | None]:
    try:
        return describe(window, limits)
    except MemoryError:  # the machine's trouble, not the window's: asking again may help
        raise
    except Exception as error:  # noqa: BLE001 - asking again would not help, and the windows behind it wait
        return _raised(error), None


def _raised(error: Exception) -> Unlabelled:
    log.error("the model failed at a window", extra={"error": type(error).__name__})  # its words could quote audio
    return Unlabelled.MODEL_ERROR


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
