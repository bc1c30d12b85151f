"""What judges a description, by the name that experiments give it. A new kind of head is registered here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from services.emotion.heads import decisions, rbf
from services.training import baselines
from services.training.corpora.corpus import Corpus
from services.training.folds import conversation_of
from services.training.harmonise import NONE
from services.training.machines import KERNEL_BYTES, fit, machine
from services.training.probe import layer_scores
from streams.domain.schemes import Scheme

Rows = NDArray[np.int64]
Decisions = NDArray[np.number]
Vectors = NDArray[np.floating]  #: perhaps memory-mapped: a layer is read when it is asked for
Frames = Callable[[Rows], Sequence[NDArray[np.floating]]]  #: rows of a side -> (layers, frames, values) of each

#: announces (what, how many steps) and returns what to call after each step
Progress = Callable[[str, int], Callable[[], None]]


def quiet(_what: str, _steps: int) -> Callable[[], None]:
    """Progress that nobody watches."""
    return lambda: None


@dataclass(frozen=True, slots=True)
class Side:
    """Segments of one corpus, to learn from or to judge."""

    corpus: Corpus
    rows: Rows  #: (n,) indices of the segments in the corpus
    targets: Mapping[str, Rows] = field(repr=False)  #: head -> (n,) index of the class, or NONE
    vectors: Vectors = field(default_factory=lambda: np.zeros((0, 1, 0)), repr=False)  #: (segments, layers, values)
    frames: Frames = field(default=lambda _: [], repr=False)

    def layer(self, at: int) -> NDArray[np.float32]:
        """(n, values) of one hidden layer."""
        return np.asarray(self.vectors[self.rows, at], np.float32)

    @property
    def conversations(self) -> Rows:
        """(n,): a number for each segment's conversation."""
        return conversation_of(self.corpus.segments)[self.rows]


@dataclass(frozen=True, slots=True)
class Task:
    """Heads to learn on some segments and to judge others by."""

    scheme: Scheme  #: its heads are what is learnt
    train: Side
    test: Side
    seed: int
    scratch: Path = Path("scratch")  #: a folder for checkpoints of what takes long
    device: str = "cpu"
    progress: Progress = quiet


@dataclass(frozen=True, slots=True)
class Judged:
    """What is decided of the segments of a task's test side."""

    decisions: Mapping[str, Decisions]  #: head -> (trials, n, classes); the largest is the label
    layers: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  #: (layers,) what a probe said of each


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of head."""

    judge: Callable[[Task], Judged]
    hears: bool = True  #: it judges a feature
    pooled: bool = True  #: it takes a vector a segment; else the frames
    version: str = "1"  #: a change of what it decides is a new one


def svm(task: Task) -> Judged:
    """The paper's: one-vs-rest RBF machines on standardised vectors, of the layer that a probe finds best."""
    layer, curve = _layer(task)
    known, unheard = task.train.layer(layer), task.test.layer(layer)
    scaler = StandardScaler().fit(known.astype(np.float64))
    known, unheard = scaler.transform(known.astype(np.float64)), scaler.transform(unheard.astype(np.float64))
    return Judged(
        {head: _decided(known, task.train.targets[head], unheard)[None] for head in task.scheme.heads()}, curve
    )


def svm_clipped(task: Task) -> Judged:
    """As bundles have it: the same, but no value counts further than some standard deviations from the mean."""
    layer, curve = _layer(task)
    machines = fit(task.scheme, task.train.layer(layer), task.train.targets)
    return Judged({head: rows[None] for head, rows in decisions(machines, task.test.layer(layer)).items()}, curve)


def _layer(task: Task) -> tuple[int, NDArray[np.float64]]:
    """Which hidden layer to take, and what the probe said of each, where there is a choice."""
    layers = task.train.vectors.shape[1]
    if layers == 1:
        return 0, np.zeros(0)
    curve = layer_scores(task.train.layer, layers, task.train.targets, task.train.conversations, task.seed)
    return int(curve.argmax()), curve


def _decided(known: NDArray[np.float64], wanted: Rows, unheard: NDArray[np.float64]) -> Decisions:
    """(n, classes): what one head's machines say of `unheard`, on a kernel made once for all of them if it fits."""
    chosen, gamma = known[wanted != NONE], 1 / known.shape[1]
    fitted, shown, asked = machine(gamma), chosen, unheard
    if len(chosen) ** 2 * 8 <= KERNEL_BYTES:
        fitted = fitted.set_params(estimator__kernel="precomputed")
        shown, asked = rbf(chosen, chosen, gamma), rbf(unheard, chosen, gamma)
    rows: Decisions = fitted.fit(shown, wanted[wanted != NONE]).decision_function(asked)
    return np.stack([-rows, rows], axis=1) if rows.ndim == 1 else rows  # a lone machine speaks for both classes


def _networks(pooling: Literal["sp", "attcp"]) -> Callable[[Task], Judged]:
    """DNN-SP or DNN-AttCP on the frames of every layer; checkpointed in the task's scratch folder."""

    def judge(task: Task) -> Judged:
        # They need PyTorch, the other kinds do not.
        from services.training import downstream  # noqa: PLC0415
        from services.training.learner import Recipe  # noqa: PLC0415

        train = task.train
        trained = downstream.train(
            Recipe(pooling, seed=task.seed),
            task.scheme.heads(),
            downstream.Examples(train.frames, train.targets, train.conversations),
            device=task.device,
            checkpoint=task.scratch / "networks.pt",
            progress=task.progress,
        )
        rows = np.arange(len(task.test.rows))
        found = downstream.decisions(trained.networks, task.test.frames, rows, device=task.device)
        return Judged({head: decided[None] for head, decided in found.items()})

    return judge


def majority(task: Task) -> Judged:
    """The commonest class of the training side."""
    judged, found = len(task.test.rows), {}
    for head, classes in task.scheme.heads().items():
        wanted = task.train.targets[head]
        found[head] = _one_hot(baselines.majority(wanted[wanted != NONE], judged)[None], len(classes))
    return Judged(found)


def random(task: Task) -> Judged:
    """Any class, in as many trials as the paper's; each fold and head draws from a stream of its own."""
    first, judged, found = int(task.test.rows[0]), len(task.test.rows), {}
    for at, (head, classes) in enumerate(task.scheme.heads().items()):
        said = baselines.random(len(classes), judged, [task.seed, first, at])
        found[head] = _one_hot(said, len(classes))
    return Judged(found)


def _one_hot(said: Rows, classes: int) -> Decisions:
    """(trials, n, classes)."""
    hot: Decisions = (said[..., None] == np.arange(classes)).astype(np.int8)
    return hot


KINDS = {
    "random": Kind(random, hears=False),
    "majority": Kind(majority, hears=False),
    "svm": Kind(svm),
    "svm-clipped": Kind(svm_clipped),
    "dnn-sp": Kind(_networks("sp"), pooled=False),
    "dnn-attcp": Kind(_networks("attcp"), pooled=False),
}
