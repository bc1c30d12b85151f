"""DNN-SP and DNN-AttCP trained on a frozen encoder's frames: one network a head, one pass over the encoder for all.

The encoder is what costs, and all its layers of a corpus are too many to keep (382 GB of 41.5 h), so frames are asked
for a batch at a time, every epoch again, and go to every head that drew the window. A head steps once it has seen a
whole batch of its own windows, so it learns as if it were trained alone. Everything random follows from the seed, the
head and the epoch, so a run that was killed goes on from its last epoch to the same networks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score
from torch import Tensor

from services.emotion.networks import Network, Shape
from services.training.errors import SchemeError, TrainingError
from services.training.harmonise import NONE
from services.training.learner import Learner, Recipe, Rows, seed_of

Targets = Mapping[str, Rows]  #: head -> (windows,) index of the class, or NONE
Classes = Mapping[str, tuple[str, ...]]  #: head -> its classes
Ids = NDArray[np.generic]  #: (windows,)

#: rows of windows -> (layers, frames, values) of each: computed anew, or from a cache
Frames = Callable[[Rows], Sequence[NDArray[np.floating] | Tensor]]

#: announces (what, how many steps) and returns what to call after each step
Progress = Callable[[str, int], Callable[[], None]]

DEV_SHARE = 0.2  #: the paper's
DRAWS = 50  #: of conversations for it, of which the one that leaves the fewest classes out is taken


@dataclass(frozen=True, slots=True)
class Trained:
    """The best network of every head by macro-F1 on the windows kept for development."""

    networks: Mapping[str, Network] = field(repr=False)
    scores: Mapping[str, tuple[float, ...]]  #: head -> dev macro-F1 after each epoch


@dataclass(frozen=True, slots=True)
class Examples:
    """Windows to learn from; each row is one window."""

    frames: Frames
    wanted: Targets
    conversations: Ids


def quiet(_what: str, _steps: int) -> Callable[[], None]:
    """Progress that nobody watches."""
    return lambda: None


def train(
    recipe: Recipe,
    classes: Classes,
    examples: Examples,
    *,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress = quiet,
) -> Trained:
    """Train every head. `checkpoint` is written after each epoch and gone on from; on a CPU to the same networks.

    TrainingError where there is no such device, the checkpoint is of another run, or frames are no numbers; SchemeError
    where a class has no window to learn from.
    """
    place = _device(device)
    parts = partition(recipe, classes, examples)
    layers, _, values = examples.frames(parts[0][:1])[0].shape
    shapes = {head: Shape(recipe.kind, layers, values, names) for head, names in classes.items()}
    with torch.random.fork_rng([place] if place.type == "cuda" else []):
        learners = [Learner(head, shape, recipe, place) for head, shape in shapes.items()]
        kept = _Checkpoint(checkpoint, _basis(recipe, shapes, examples))
        for epoch in range(kept.resume(learners), recipe.epochs):
            learning = [learner for learner in learners if not learner.done]
            if not learning:
                break
            torch.manual_seed(seed_of(recipe, epoch))
            _learn(epoch, learning, examples, parts[0], progress)
            _judge(epoch, learning, examples, parts[1], progress)
            kept.keep(learners)
    scores = {learner.head: tuple(learner.scores) for learner in learners}
    return Trained({learner.head: learner.best_network() for learner in learners}, scores)


@torch.no_grad()
def decisions(
    networks: Mapping[str, Network],
    frames: Frames,
    rows: Rows,
    *,
    device: str = "cpu",
    batch: int = 32,
    tick: Callable[[], None] = lambda: None,
) -> dict[str, NDArray[np.float64]]:
    """Head -> (rows, classes): what the networks say of windows; the largest is the label. Ticks once a batch."""
    place = _device(device)
    for network in networks.values():
        network.eval().to(place)
    found = {head: [torch.empty(0, len(network.shape.classes))] for head, network in networks.items()}
    for _, windows in _batches(frames, rows, batch, place):
        for head, network in networks.items():
            found[head].append(network(windows).cpu())
        tick()
    return {head: torch.cat(parts).double().numpy() for head, parts in found.items()}


def partition(recipe: Recipe, classes: Classes, examples: Examples) -> tuple[Rows, Rows]:
    """Rows to learn from and rows to stop by, 80/20, no conversation in both; one conversation is split by window.

    SchemeError with every class that has no window to learn from, and every head that has none to stop by.
    """
    names, units = np.unique(examples.conversations, return_inverse=True)
    if len(names) == 1:
        units = np.arange(len(units))
    random = np.random.default_rng(seed_of(recipe, "dev"))
    draws = [_drawn(units, random) for _ in range(DRAWS)]
    dev = min(draws, key=lambda dev: len(_absent(classes, examples, dev)) + len(_absent(classes, examples, ~dev)))
    problems = [f"{each}: no window to learn from" for each in _absent(classes, examples, ~dev)]
    problems += [f"head {head}: no window to stop by" for head in classes if (examples.wanted[head][dev] == NONE).all()]
    if problems:
        raise SchemeError("\n".join(f"{problem}; annotate more conversations" for problem in problems))
    return np.flatnonzero(~dev), np.flatnonzero(dev)


def _drawn(units: Rows, random: np.random.Generator) -> NDArray[np.bool_]:
    """(windows,) true for units drawn as long as they fit into the share; the smallest where none does."""
    sizes, chosen = np.bincount(units), []
    room = DEV_SHARE * len(units)
    for unit in random.permutation(len(sizes)):
        if sizes[unit] <= room:
            chosen.append(unit)
            room -= sizes[unit]
    return np.isin(units, chosen or [sizes.argmin()])


def _absent(classes: Classes, examples: Examples, part: NDArray[np.bool_]) -> list[str]:
    """The classes that no window of a part has."""
    there = {head: set(examples.wanted[head][part].tolist()) for head in classes}
    return [
        f"head {head}, class {name}"
        for head, names in classes.items()
        for index, name in enumerate(names)
        if index not in there[head]
    ]


def _learn(epoch: int, learning: Sequence[Learner], examples: Examples, rows: Rows, progress: Progress) -> None:
    """Go through the windows that any head drew, each batch's frames once."""
    recipe = learning[0].recipe
    drawn = {learner.head: learner.drawn(examples.wanted[learner.head], rows, epoch) for learner in learning}
    order = np.random.default_rng(seed_of(recipe, "order", epoch)).permutation(rows)
    order = order[np.isin(order, np.concatenate(list(drawn.values())))]
    tick = progress(f"epoch {epoch + 1} of {recipe.epochs} at most: {len(learning)} heads learn", len(order))
    for learner in learning:
        learner.network.train()
    for part, windows in _batches(examples.frames, order, recipe.batch, learning[0].device):
        for learner in learning:
            mine = np.flatnonzero(np.isin(part, drawn[learner.head]))
            learner.learn([windows[at] for at in mine], examples.wanted[learner.head][part[mine]])
        for _ in part:
            tick()
    for learner in learning:
        learner.step()


def _judge(epoch: int, learning: Sequence[Learner], examples: Examples, rows: Rows, progress: Progress) -> None:
    """Score each head on the windows kept for development that have a class under it."""
    recipe = learning[0].recipe
    wanted = {learner.head: examples.wanted[learner.head][rows] for learner in learning}
    some = np.any([classes != NONE for classes in wanted.values()], axis=0)
    tick = progress(f"epoch {epoch + 1} of {recipe.epochs} at most: judging", -(-int(some.sum()) // recipe.batch))
    networks = {learner.head: learner.network for learner in learning}
    device = str(learning[0].device)
    found = decisions(networks, examples.frames, rows[some], device=device, batch=recipe.batch, tick=tick)
    for learner in learning:
        classes = wanted[learner.head][some]
        known = classes != NONE
        said = found[learner.head][known].argmax(axis=1)
        learner.judged(float(f1_score(classes[known], said, average="macro", zero_division=0)))


def _batches(frames: Frames, rows: Rows, batch: int, device: torch.device) -> Iterator[tuple[Rows, list[Tensor]]]:
    """Rows and (layers, frames, values) of each, a batch at a time: no more frames are ever held."""
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        yield part, [_tensor(window).to(device, torch.float32) for window in frames(part)]


def _tensor(window: NDArray[np.floating] | Tensor) -> Tensor:
    return window if isinstance(window, Tensor) else torch.from_numpy(np.require(window, requirements="W"))


def _device(name: str) -> torch.device:
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise TrainingError(f"device {name}: PyTorch finds none on this machine; use cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise TrainingError(f"device {name!r}: there is none of this name; use cpu or cuda") from error


def _basis(recipe: Recipe, shapes: Mapping[str, Shape], examples: Examples) -> str:
    """A hash of all that the networks follow from, but the frames themselves."""
    units = np.unique(examples.conversations, return_inverse=True)[1]
    wanted = [(head, examples.wanted[head].tolist()) for head in shapes]
    return sha256(repr((recipe, shapes, wanted, units.tolist())).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    """Where a run is kept after each epoch, if anywhere."""

    path: Path | None
    basis: str

    def resume(self, learners: Sequence[Learner]) -> int:
        """The epoch to go on with; the learners then stand where they stood before it."""
        if self.path is None or not self.path.exists():
            return 0
        try:
            kept = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # any: torch raises what its readers raise
            raise TrainingError(f"{self.path}: cannot be read; delete it to begin anew") from error
        if kept["basis"] != self.basis:
            raise TrainingError(f"{self.path}: of another run, with other data or settings; delete it to begin anew")
        for learner in learners:
            learner.load(kept["heads"][learner.head])
        return max(len(learner.scores) for learner in learners)

    def keep(self, learners: Sequence[Learner]) -> None:
        """Write it whole or not at all."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f"{self.path.name}.new")
        torch.save({"basis": self.basis, "heads": {each.head: each.state() for each in learners}}, beside)
        beside.replace(self.path)
