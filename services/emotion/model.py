"""Windows in, judgements out: what a bundle says of each window, or why it says nothing."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, TypeVar, cast

import numpy as np
import soxr
from numpy.typing import NDArray

from services.emotion.abstention import out_of_domain, placed, unfit
from services.emotion.bundle import Bundle
from services.emotion.calibration import probabilities, said
from services.emotion.features.feature import Feature, Framewise, has_frames
from services.emotion.heads import Fast, scored
from streams.domain.records import Heads, Outcome
from streams.domain.unlabelled import Unlabelled

Array = NDArray[np.float32]
Scores = NDArray[np.float64]
T = TypeVar("T")

NO_CLASS = -1

_FAILED = {
    Unlabelled.NOT_FINITE,
    Unlabelled.MODEL_ERROR,
    Unlabelled.REFUSED,
    Unlabelled.OTHER_SCHEME,
    Unlabelled.OTHER_BUNDLE,
    Unlabelled.UNCALIBRATED,
}

#: By name, as torch is not everywhere.
_MACHINES = {"MemoryError", "OutOfMemoryError", "AcceleratorError"}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Judgements:
    """What is said of n windows. Where a reason stands there is no class, and probabilities are zeros.

    Except beside `distance`: of a window out of domain it is told too, for a use case that would rather mark it.
    """

    reasons: tuple[Unlabelled | None, ...]
    classes: Mapping[str, NDArray[np.int64]]  #: head -> (n,) index of the class said, or NO_CLASS
    probabilities: Mapping[str, Array]  #: head -> (n, classes), of every head that is calibrated


class Heard(NamedTuple):
    """A window as its bundle hears it."""

    vector: Array  #: (values,) of the hidden layer that distances are told by; all that machines go by
    scores: Scores | None = None  #: (columns,) what networks say of its frames, which are gone by then


def outcome_of(reason: Unlabelled | None) -> Outcome:
    """The outcome that goes with a reason."""
    if reason is None:
        return Outcome.LABELLED
    return Outcome.FAILED if reason in _FAILED else Outcome.ABSTAINED


def judge(bundle: Bundle, windows: Sequence[Array]) -> Judgements:
    """Judge each window (float32, mono, at the bundle's rate, full scale 1) for itself; neighbours do not matter."""
    return judge_together([(bundle, windows)])[0]


def judge_together(parts: Sequence[tuple[Bundle, Sequence[Array]]]) -> list[Judgements]:
    """The same of each bundle and its windows: all are heard at once, as the bundles hear alike (`Bundle.hears`)."""
    heard = iter(_hear([(bundle, window) for bundle, windows in parts for window in windows]))
    return [judge_heard(bundle, list(islice(heard, len(windows)))) for bundle, windows in parts]


def judge_heard(bundle: Bundle, heard: Sequence[Unlabelled | Heard]) -> Judgements:
    """The same of what `hear` gave, for who needs the vectors too."""
    found = {at: each for at, each in enumerate(heard) if not isinstance(each, Unlabelled)}
    judged = _apart(list(found), lambda places: _judged(bundle, [found[at] for at in places]))
    reasons = [each if isinstance(each, Unlabelled) else None for each in heard]
    scores = np.full((len(heard), sum(map(len, bundle.manifest.scheme.heads.values()))), np.nan)
    for at, each in judged.items():
        reasons[at], scores[at] = (each, np.nan) if isinstance(each, Unlabelled) else each
    return _told(bundle, reasons, scores)


def hear(bundle: Bundle, windows: Sequence[Array]) -> list[Unlabelled | Heard]:
    """Each window as the bundle hears it, or the reason why it cannot be judged."""
    return _hear([(bundle, window) for window in windows])


def _hear(asked: Sequence[tuple[Bundle, Array]]) -> list[Unlabelled | Heard]:
    """The same of windows with the bundle that each is for; these hear alike, yet have limits of their own."""
    reasons = _apart(range(len(asked)), lambda places: [_unfit(*asked[at]) for at in places])
    fit = [at for at, reason in reasons.items() if reason is None]
    heard = _apart(fit, lambda places: _heard(asked[places[0]][0], [asked[at][1] for at in places]))
    found = {at: reason for at, reason in reasons.items() if reason is not None} | heard
    return [found[at] for at in range(len(asked))]


def _unfit(bundle: Bundle, window: Array) -> Unlabelled | None:
    known = bundle.manifest
    return unfit(window, known.rate, known.limits, known.band)


def names(bundle: Bundle, judged: Judgements, at: int) -> tuple[dict[str, str], Heads]:
    """What a label holds of the window at this place: head -> class said, head -> class -> probability."""
    heads = bundle.manifest.scheme.heads
    classes = {head: heads[head][rows[at]] for head, rows in judged.classes.items() if rows[at] != NO_CLASS}
    shares = {head: rows[at].tolist() for head, rows in judged.probabilities.items() if head in classes}
    return classes, {head: dict(zip(heads[head], row, strict=True)) for head, row in shares.items()}


def _heard(bundle: Bundle, windows: Sequence[Array]) -> list[Unlabelled | Heard]:
    """Of each window at the bundle's rate."""
    judges, feature, known = bundle.judges, bundle.feature, bundle.manifest
    if isinstance(judges, Fast):
        rows = _finite(_vectors(feature, windows, known.rate, known.feature.layer))
        return [row if isinstance(row, Unlabelled) else Heard(row) for row in rows]
    from services.emotion.networks import listen  # noqa: PLC0415 - needs torch, which bundles of machines do without

    resampled = _resampled(windows, known.rate, feature.rate)
    listened = listen(judges, cast("Framewise", feature), known.feature.layer, resampled)
    return [Heard(*each) if np.isfinite(each[0]).all() else Unlabelled.NOT_FINITE for each in listened]


def _vectors(feature: Feature, windows: Sequence[Array], rate: int, layer: int) -> Array:
    """(n, values) of one hidden layer of windows at this rate; no later layer is computed."""
    if has_frames(feature) and feature.rate % rate == 0:
        return feature.vectors(windows, [layer], rate)[:, 0]
    return feature.vectors(_resampled(windows, rate, feature.rate))[:, layer]


def _resampled(windows: Sequence[Array], rate: int, to: int) -> Sequence[Array]:
    return windows if rate == to else [soxr.resample(each, rate, to) for each in windows]


def _finite(vectors: Array) -> list[Unlabelled | Array]:
    return [row if np.isfinite(row).all() else Unlabelled.NOT_FINITE for row in vectors]


def _judged(bundle: Bundle, heard: Sequence[Heard]) -> list[tuple[Unlabelled | None, Scores]]:
    """Of each window: whether it is out of domain, and the decision values of all heads side by side (columns,)."""
    vectors, heads = np.stack([each.vector for each in heard]), bundle.heads
    if isinstance(bundle.judges, Fast):
        scores = np.hstack(list(scored(bundle.judges, vectors).values()))
    else:
        scores = np.stack([each.scores for each in heard if each.scores is not None])
    far = out_of_domain(bundle.reference, placed(vectors, heads.mean, heads.scale))
    return [(Unlabelled.DISTANCE if out else None, row) for out, row in zip(far, scores, strict=True)]


def _told(bundle: Bundle, reasons: list[Unlabelled | None], scores: NDArray[np.float64]) -> Judgements:
    """Judgements from decision values (n, columns); nothing that is no number ever becomes a label."""
    finite: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(scores), axis=1)
    for at in np.flatnonzero(~finite):
        reasons[at] = Unlabelled.NOT_FINITE if reasons[at] in {None, Unlabelled.DISTANCE} else reasons[at]
    sizes = [len(classes) for classes in bundle.manifest.scheme.heads.values()]
    parts = np.split(np.where(finite[:, None], scores, 0), np.cumsum(sizes)[:-1], axis=1)
    rows = dict(zip(bundle.manifest.scheme.heads, parts, strict=True))
    shares = probabilities(bundle.manifest.calibration, rows)
    return Judgements(
        tuple(reasons),
        {head: np.where(finite, classes, NO_CLASS) for head, classes in said(rows).items()},
        {head: np.where(finite[:, None], share, 0).astype(np.float32) for head, share in shares.items()},
    )


def _apart(places: Sequence[int], work: Callable[[Sequence[int]], Sequence[T]]) -> dict[int, T | Unlabelled]:
    """What `work` makes of each place: of all at once, and where that raises of each by itself.

    So the window at fault fails alone. Asking again would not help, and the windows behind it wait.
    """
    try:
        return dict(zip(places, work(places), strict=True)) if places else {}
    except Exception as error:  # whatever a model raises
        if _is_the_machines(error):
            raise
        if len(places) > 1:
            return {at: found for place in places for at, found in _apart([place], work).items()}
        return {places[0]: _raised(error)}


def _is_the_machines(error: Exception) -> bool:
    """Whether memory or a GPU failed, and not the window: asking again may help."""
    return not _MACHINES.isdisjoint(kind.__name__ for kind in type(error).__mro__)


def _raised(error: Exception) -> Unlabelled:
    log.error("the model failed at a window", extra={"error": type(error).__name__})  # its words could quote audio
    return Unlabelled.MODEL_ERROR
