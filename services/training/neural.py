"""Networks for a bundle: trained on the frames of a corpus, judged on groups that they never heard, and calibrated.

A fit costs a pass of the encoder over the corpus for every epoch, so each is made once: as many as there are folds, and
one on everything. Their decisions on what was left out give the scores and the sigmoids both; a fold's probabilities
come from sigmoids of the other folds' decisions (ops/adr/0120-bundles-of-networks.md). Every fit is checkpointed after
each epoch, so a run that was stopped goes on where it was, to the same networks on a CPU.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from services.emotion.calibration import Sigmoid, probabilities
from services.emotion.features.feature import Framewise
from services.emotion.networks import Network
from services.training.audio import heard
from services.training.cache import Heard, Progress
from services.training.calibrate import calibration
from services.training.downstream import Examples, Frames, Trained, decisions, train
from services.training.evaluate import NETWORK_FOLDS, Groups, HeldOut, folds
from services.training.learner import Recipe

Number = TypeVar("Number", np.int64, np.float64)
Rows = NDArray[np.int64]
Masks = Sequence[NDArray[np.bool_]]  #: (windows,) what each fold leaves out


@dataclass(frozen=True, slots=True)
class Lesson:
    """What networks learn, and where they are kept while they do; each row is one window."""

    recipe: Recipe
    classes: Mapping[str, tuple[str, ...]]  #: head -> its classes
    frames: Frames = field(repr=False)
    wanted: Mapping[str, Rows] = field(repr=False)  #: head -> (windows,) index of the class, or NONE
    groups: Groups = field(repr=False)
    folder: Path  #: of checkpoints, and of nothing else
    device: str
    progress: Progress


def frames_of(feature: Framewise, windows: Heard) -> Frames:
    """Frames of these segments, computed whenever they are asked for: those of a whole corpus fit on no disk."""

    def frames(rows: Rows) -> list[Tensor]:
        segments = [windows.segments[row] for row in rows]
        samples = [heard(windows.recordings, segment, feature.rate, windows.band) for segment in segments]
        found = dict(feature.hidden(samples))
        return [found[at] for at in range(len(rows))]

    return frames


def fit(lesson: Lesson) -> tuple[dict[str, Network], dict[str, tuple[Sigmoid, ...]], HeldOut]:
    """Networks of all windows, their sigmoids, and what is said of each window by networks that never heard its group.

    TrainingError, SchemeError as `downstream.train` raises them.
    """
    masks = list(folds(lesson.groups, NETWORK_FOLDS))
    decided = _held_out(lesson, masks)
    trained = _trained(lesson, np.arange(len(lesson.groups)), "all", f"fit {len(masks) + 1} of {len(masks) + 1}")
    return dict(trained.networks), calibration(decided, lesson.wanted), calibrated(decided, lesson.wanted, masks)


def calibrated(decided: Mapping[str, NDArray[np.float64]], wanted: Mapping[str, Rows], masks: Masks) -> HeldOut:
    """Decisions on windows of unheard groups, and their probabilities by sigmoids of the other folds' decisions.

    Rows are no numbers where the others have too few windows of a class.
    """
    shares = {head: np.full(rows.shape, np.nan) for head, rows in decided.items()}
    for test in masks:
        sigmoids = calibration(_part(decided, ~test), _part(wanted, ~test))
        for head, found in probabilities(sigmoids, _part(decided, test)).items():
            shares[head][test] = found
    return HeldOut(dict(decided), shares)


def _held_out(lesson: Lesson, masks: Masks) -> dict[str, NDArray[np.float64]]:
    found = {head: np.full((len(lesson.groups), len(names)), np.nan) for head, names in lesson.classes.items()}
    for at, test in enumerate(masks):
        what, rows = f"fit {at + 1} of {len(masks) + 1}", np.flatnonzero(test)
        trained = _trained(lesson, np.flatnonzero(~test), f"fold-{at}", what)
        batch = lesson.recipe.batch
        tick = lesson.progress(f"{what}: judging what was left out", -(-len(rows) // batch))
        said = decisions(trained.networks, lesson.frames, rows, device=lesson.device, batch=batch, tick=tick)
        for head, scores in said.items():
            found[head][rows] = scores
    return found


def _trained(lesson: Lesson, rows: Rows, name: str, what: str) -> Trained:
    """Networks that learn from these rows alone."""

    def progress(of: str, steps: int) -> Callable[[], None]:
        return lesson.progress(f"{what}, {of}", steps)

    return train(
        lesson.recipe,
        lesson.classes,
        Examples(lambda some: lesson.frames(rows[some]), _part(lesson.wanted, rows), lesson.groups[rows]),
        device=lesson.device,
        checkpoint=lesson.folder / f"{name}.pt",
        progress=progress,
    )


def _part(rows: Mapping[str, NDArray[Number]], some: Rows | NDArray[np.bool_]) -> dict[str, NDArray[Number]]:
    return {head: each[some] for head, each in rows.items()}
