"""scikit-learn's one-vs-rest RBF machines, fitted and packed into `Heads`."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC

from services.emotion.heads import Heads, rbf, rounded, standardised
from services.training.errors import SchemeError
from services.training.harmonise import NONE
from streams.domain.schemes import Scheme, class_of

Vectors = NDArray[np.float32]
Targets = Mapping[str, NDArray[np.int64]]  #: head -> (windows,) index of the class, or NONE
Packed = tuple[NDArray[np.float64], NDArray[np.float64]]  #: (windows, classes) coefficients, (classes,) intercepts

KERNEL_BYTES = 4 << 30  #: 23,000 windows; a larger kernel is not made, each machine asks for its rows as it goes


def targets(scheme: Scheme, labels: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """The class of every label under every head. SchemeError where a class is unknown or has no example."""
    found = {}
    for head, classes in scheme.heads().items():
        names = [_class(scheme, head, label) for label in labels]
        empty = set(classes) - set(names)
        if empty:
            raise SchemeError(f"head {head} of scheme {scheme.name}: no recording of {', '.join(sorted(empty))}")
        found[head] = np.array([classes.index(name) for name in names])
    return found


def _class(scheme: Scheme, head: str, label: str) -> str:
    name, kind = head.split(".")
    dimension = scheme.dimensions[name]
    full = class_of(label, dimension.classes)
    if full is None:
        raise SchemeError(f"scheme {scheme.name} has no class of {name} for label {label!r}")
    found = full if kind == "full" else class_of(full, dimension.binary)
    if found is None:
        raise SchemeError(f"scheme {scheme.name}: binary {name} says nothing of class {full!r}")
    return found


def machine(gamma: float) -> OneVsRestClassifier:
    """The paper's classifier: one balanced RBF machine a class."""
    return OneVsRestClassifier(SVC(kernel="rbf", C=1, gamma=gamma, class_weight="balanced"))


def scaler(vectors: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and spread of each value over (windows, values); 1 where a value is always the same."""
    mean, spread = vectors.mean(axis=0, dtype=np.float64), vectors.std(axis=0, dtype=np.float64)
    return mean, np.where(spread > 0, spread, 1.0)


def fit(scheme: Scheme, vectors: Vectors, wanted: Targets) -> Heads:
    """Every head's machines on (windows, values); one scaler and one gamma, so that all share one kernel.

    The scaler sees every window, a head's machines those that have a class under it.
    """
    _check_complete(scheme, wanted)
    mean, scale = scaler(vectors)
    points = rounded(standardised(vectors, mean, scale))
    gamma = 1 / points.shape[1]
    packed: dict[str, Packed] = {}
    for known, heads in _alike(wanted):
        packed |= _fit(points, known, {head: wanted[head] for head in heads}, gamma)
    dual = np.hstack([packed[head][0] for head in scheme.heads()])  # (windows, columns)
    used = np.flatnonzero(dual.any(axis=1))
    return Heads(
        classes=scheme.heads(),
        mean=mean,
        scale=scale,
        support=points[used],
        dual=dual[used],
        intercept=np.concatenate([packed[head][1] for head in scheme.heads()]),
        gamma=gamma,
    )


def _check_complete(scheme: Scheme, wanted: Targets) -> None:
    for head, classes in scheme.heads().items():
        absent = [name for index, name in enumerate(classes) if index not in wanted[head]]
        if absent:
            raise SchemeError(f"head {head}: a class needs three speakers or conversations: {', '.join(absent)}")


def _alike(wanted: Targets) -> list[tuple[NDArray[np.int64], list[str]]]:
    """Windows that have a class, and the heads under which it is just these that do."""
    groups: dict[bytes, tuple[NDArray[np.int64], list[str]]] = {}
    for head, classes in wanted.items():
        known = np.flatnonzero(classes != NONE)
        groups.setdefault(known.tobytes(), (known, []))[1].append(head)
    return list(groups.values())


def _fit(points: Vectors, known: NDArray[np.int64], wanted: Targets, gamma: float) -> dict[str, Packed]:
    """The machines of heads that are fitted on the same windows. Their kernel is made once and gone on return."""
    chosen = points[known].astype(np.float64)
    if len(known) ** 2 * 8 > KERNEL_BYTES:
        made, given = machine(gamma), chosen
    else:
        made, given = machine(gamma).set_params(estimator__kernel="precomputed"), rbf(chosen, chosen, gamma)
    return {head: pack(made.fit(given, wanted[head][known]), known, len(points)) for head in wanted}


def pack(fitted: OneVsRestClassifier, known: NDArray[np.int64], windows: int) -> Packed:
    """Coefficients and intercepts of machines fitted on the rows `known` of `windows`.

    A lone machine is mirrored into two columns.
    """
    dual = np.zeros((windows, len(fitted.estimators_)))
    for column, estimator in enumerate(fitted.estimators_):
        dual[known[estimator.support_], column] = estimator.dual_coef_[0]
    intercepts = np.array([estimator.intercept_[0] for estimator in fitted.estimators_])
    if len(intercepts) == 1:
        return np.hstack([-dual, dual]), np.concatenate([-intercepts, intercepts])
    return dual, intercepts
