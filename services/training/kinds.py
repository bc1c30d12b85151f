"""What judges a description, by the name that experiments give it. A new kind of head is registered here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from services.emotion.calibration import Calibration, probabilities
from services.emotion.heads import decisions, rbf
from services.training import baselines
from services.training.calibrate import calibration, enough
from services.training.corpora.corpus import Corpus
from services.training.folds import conversation_of
from services.training.harmonise import NONE
from services.training.machines import KERNEL_BYTES, Targets, fit, machine
from services.training.probe import layer_scores
from streams.domain.schemes import Scheme

Rows = NDArray[np.int64]
Decisions = NDArray[np.number]
Points = NDArray[np.float32]
Values = NDArray[np.float64]
Vectors = NDArray[np.floating]  #: perhaps memory-mapped: a layer is read when it is asked for
Frames = Callable[[Rows], Sequence[NDArray[np.floating]]]  #: rows of a side -> (layers, frames, values) of each

#: learns (n, values) by head -> (n,) classes, and says head -> (m, classes) of (m, values)
Decide = Callable[[Points, Targets, Points], Mapping[str, Values]]

#: announces (what, how many steps) and returns what to call after each step
Progress = Callable[[str, int], Callable[[], None]]

PARTS = 5  #: of the training side, on which sigmoids are fitted in turn, no conversation in two


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

    def layer(self, at: int) -> Points:
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
    layers: Values = field(default_factory=lambda: np.zeros(0))  #: (layers,) what a probe said of each
    #: head -> (n, classes), of heads for whose sigmoids the training side was enough
    probabilities: Mapping[str, Values] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of head."""

    judge: Callable[[Task], Judged]
    hears: bool = True  #: it judges a feature
    pooled: bool = True  #: it takes a vector a segment; else the frames
    version: str = "1"  #: a change of what it decides, or gives as probabilities, is a new one


def svm(task: Task) -> Judged:
    """The paper's: one-vs-rest RBF machines on standardised vectors, of the layer that a probe finds best."""

    def decide(known: Points, wanted: Targets, unheard: Points) -> Mapping[str, Values]:
        scaler = StandardScaler().fit(known.astype(np.float64))
        points, asked = scaler.transform(known.astype(np.float64)), scaler.transform(unheard.astype(np.float64))
        return {head: _decided(points, classes, asked) for head, classes in wanted.items()}

    return _machines(task, decide)


def svm_clipped(task: Task) -> Judged:
    """As bundles have it: the same, but no value counts further than some standard deviations from the mean."""

    def decide(known: Points, wanted: Targets, unheard: Points) -> Mapping[str, Values]:
        every = set(wanted) == set(task.scheme.heads())  # all heads or none: they are packed together
        return decisions(fit(task.scheme, known, wanted), unheard) if every else {}

    return _machines(task, decide)


def _machines(task: Task, decide: Decide) -> Judged:
    """Decide on the test side, and give probabilities by what the training side alone tells."""
    layer, curve = _layer(task)
    known = task.train.layer(layer)
    scores = decide(known, {head: task.train.targets[head] for head in task.scheme.heads()}, task.test.layer(layer))
    shares = probabilities(_sigmoids(task, known, decide), scores)
    return Judged({head: rows[None] for head, rows in scores.items()}, curve, shares)


def _sigmoids(task: Task, known: Points, decide: Decide) -> Calibration:
    """Fitted to what is decided of training conversations by machines that were not shown them.

    A head of which the rest of the training side then lacks a class gets none.
    """
    side, found = task.train, dict[str, Values]()
    sizes = {head: len(classes) for head, classes in task.scheme.heads().items()}
    if not any(enough(side.targets[head], size) for head, size in sizes.items()):
        return {}
    parts = _parts(side.conversations)
    whole = [head for head, size in sizes.items() if all(_has(side.targets[head][learnt], size) for learnt, _ in parts)]
    for learnt, left_out in parts:
        wanted = {head: side.targets[head][learnt] for head in whole}
        for head, rows in decide(known[learnt], wanted, known[left_out]).items():
            found.setdefault(head, np.zeros((len(known), sizes[head])))[left_out] = rows
    return calibration(found, side.targets)


def _parts(conversations: Rows) -> list[tuple[Rows, Rows]]:
    """Places to learn from and places that are left out; none of one conversation alone."""
    parts = min(PARTS, len(np.unique(conversations)))
    return list(GroupKFold(parts).split(conversations, groups=conversations)) if parts > 1 else []


def _has(wanted: Rows, classes: int) -> bool:
    return set(range(classes)) <= set(wanted.tolist())


def _layer(task: Task) -> tuple[int, Values]:
    """Which hidden layer to take, and what the probe said of each, where there is a choice."""
    layers = task.train.vectors.shape[1]
    if layers == 1:
        return 0, np.zeros(0)
    curve = layer_scores(task.train.layer, layers, task.train.targets, task.train.conversations, task.seed)
    return int(curve.argmax()), curve


def _decided(known: Values, wanted: Rows, unheard: Values) -> Values:
    """(n, classes): what one head's machines say of `unheard`, on a kernel made once for all of them if it fits."""
    chosen, gamma = known[wanted != NONE], 1 / known.shape[1]
    fitted, shown, asked = machine(gamma), chosen, unheard
    if len(chosen) ** 2 * 8 <= KERNEL_BYTES:
        fitted = fitted.set_params(estimator__kernel="precomputed")
        shown, asked = rbf(chosen, chosen, gamma), rbf(unheard, chosen, gamma)
    rows: Values = fitted.fit(shown, wanted[wanted != NONE]).decision_function(asked)
    return np.stack([-rows, rows], axis=1) if rows.ndim == 1 else rows  # a lone machine speaks for both classes


def _networks(pooling: Literal["sp", "attcp"]) -> Callable[[Task], Judged]:
    """DNN-SP or DNN-AttCP on the frames of every layer; checkpointed in the task's scratch folder.

    Sigmoids are fitted to what is decided of the training conversations that were kept for development. These chose the
    epoch, so the probabilities may be a little bold; to train five more networks a fold would be the price of better.
    """

    def judge(task: Task) -> Judged:
        # They need PyTorch, the other kinds do not.
        from services.training import downstream  # noqa: PLC0415
        from services.training.learner import Recipe  # noqa: PLC0415

        train, heads, recipe = task.train, task.scheme.heads(), Recipe(pooling, seed=task.seed)
        examples = downstream.Examples(train.frames, train.targets, train.conversations)
        trained = downstream.train(
            recipe,
            heads,
            examples,
            device=task.device,
            checkpoint=task.scratch / "networks.pt",
            progress=task.progress,
        )
        _, kept = downstream.partition(recipe, heads, examples)
        judged = downstream.decisions(trained.networks, train.frames, kept, device=task.device)
        sigmoids = calibration(judged, {head: train.targets[head][kept] for head in heads})
        rows = np.arange(len(task.test.rows))
        found = downstream.decisions(trained.networks, task.test.frames, rows, device=task.device)
        decided = {head: values[None] for head, values in found.items()}
        return Judged(decided, probabilities=probabilities(sigmoids, found))

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
    "svm": Kind(svm, version="2"),
    "svm-clipped": Kind(svm_clipped, version="2"),
    "dnn-sp": Kind(_networks("sp"), pooled=False, version="2"),
    "dnn-attcp": Kind(_networks("attcp"), pooled=False, version="2"),
}
