"""Which hidden layer of a feature tells the classes apart: what a linear probe finds on training segments alone."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from services.training.harmonise import NONE
from services.training.measures import confusion, macro_f1

Rows = NDArray[np.int64]
Layer = Callable[[int], NDArray[np.floating]]  #: a layer's vectors of all training segments, (n, values)

FOLDS = 4  #: inside the training segments, no conversation in two
PROBED = 4_000  #: segments at most: more would change the curve by less than folds do


def layer_scores(
    layer: Layer, layers: int, targets: Mapping[str, Rows], conversations: Rows, seed: int
) -> NDArray[np.float64]:
    """(layers,): macro-F1 of a ridge classifier on each layer, the mean over the heads. Targets are (n,), or NONE."""
    some = _some(conversations, seed)
    groups = _apart(conversations[some])
    wanted = {head: classes[some] for head, classes in targets.items()}
    return np.array([_score(layer(at)[some], wanted, groups) for at in range(layers)])


def _some(conversations: Rows, seed: int) -> Rows:
    """Segments of conversations drawn at random, until there are enough."""
    drawn = np.random.default_rng(seed).permutation(int(conversations.max()) + 1)[conversations]
    return np.sort(np.argsort(drawn, kind="stable")[:PROBED])


def _apart(conversations: Rows) -> Rows:
    """What is kept together; segments of one conversation alone are each by themselves."""
    return conversations if len(np.unique(conversations)) > 1 else np.arange(len(conversations))


def _score(vectors: NDArray[np.floating], targets: Mapping[str, Rows], groups: Rows) -> float:
    said = {head: np.zeros(len(wanted), np.int64) for head, wanted in targets.items()}
    for train, test in GroupKFold(min(FOLDS, len(np.unique(groups)))).split(vectors, groups=groups):
        scaler = StandardScaler().fit(vectors[train])
        known, unheard = scaler.transform(vectors[train]), scaler.transform(vectors[test])
        for head, wanted in targets.items():
            said[head][test] = _said(known, wanted[train], unheard)
    return float(np.mean([_macro_f1(wanted, said[head]) for head, wanted in targets.items()]))


def _said(known: NDArray[np.floating], wanted: Rows, unheard: NDArray[np.floating]) -> Rows:
    there = wanted != NONE
    if not there.any():
        return np.zeros(len(unheard), np.int64)  # a guess, as good as any
    # On standardised values a penalty of their number is a kernel of 1 / values with C = 1, as the machines have.
    probe = RidgeClassifier(alpha=known.shape[1], class_weight="balanced").fit(known[there], wanted[there])
    return np.asarray(probe.predict(unheard))


def _macro_f1(wanted: Rows, said: Rows) -> float:
    there = wanted != NONE
    return float(macro_f1(confusion(wanted[there], said[there], int(wanted.max()) + 1)))
