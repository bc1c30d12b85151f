"""One-vs-rest RBF machines of every head, packed: one kernel matrix against the union of their support vectors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FAR = 3.0  #: standard deviations; further out a value says that a window is strange, not how angry it is
MARGIN = 1e-4  #: between decision values, at least: windows nearer to a border than that are scored in float64
PROBED = 64  #: support vectors on which it is seen how wrong float32 is for a bundle
SMALL = 4_000_000  #: values of all support vectors together, up to which float64 takes no time worth saving
BATCH = 256  #: windows in one product of matrices: of more, the kernel leaves the processor's cache
BLOCK = 1024  #: support vectors in float64, or in one sum in float32, at a time


@dataclass(frozen=True, slots=True)
class Heads:
    """Machines as arrays. A head owns adjacent columns, one a class; two classes mirror each other.

    Support vectors are standardised and rounded before they are learnt from, and what they are compared with is float32
    as well: the packed form then gives scikit-learn's decision values to rounding, at a quarter of the size.
    """

    classes: Mapping[str, tuple[str, ...]]  #: head -> its classes, in the order of the columns
    mean: Array = field(repr=False)  #: (values,) of the training windows
    scale: Array = field(repr=False)  #: (values,)
    support: NDArray[np.float32] = field(repr=False)  #: (support vectors, values)
    dual: Array = field(repr=False)  #: (support vectors, columns)
    intercept: Array = field(repr=False)  #: (columns,)
    gamma: float


def spread(vectors: NDArray[np.floating], mean: Array, scale: Array, most: float) -> NDArray[np.float32]:
    """Vectors (n, values) in units of a spread, within +-`most`. In one array: fresh ones cost six times the sums."""
    points: Array = np.subtract(vectors, mean, dtype=np.float64)
    points /= scale
    np.clip(points, -most, most, out=points)
    return points.astype(np.float32)


def standardised(vectors: NDArray[np.floating], mean: Array, scale: Array) -> NDArray[np.float32]:
    """Vectors in units of the training windows' spread, within +-FAR: (n, values), float32."""
    return spread(vectors, mean, scale, FAR)


def rounded(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Training windows in standard deviations as a bundle keeps them, to three digits: in half the room."""
    return points.astype(np.float16).astype(np.float32)


def rbf(points: Array, others: Array, gamma: float) -> Array:
    """exp(-gamma |p - o|^2) of each pair: (points, others). Holds one array of that size and no other."""
    kernel = points @ others.T
    kernel *= -2
    kernel += (points**2).sum(axis=1)[:, None]
    kernel += (others**2).sum(axis=1)
    np.maximum(kernel, 0, out=kernel)  # rounding may take a point's distance to itself under 0
    kernel *= -gamma
    return np.exp(kernel, out=kernel)


def decisions(heads: Heads, vectors: NDArray[np.floating]) -> dict[str, Array]:
    """Head -> (n, classes): signed distances from each class's border; the largest is the label."""
    return _by_head(heads, _exactly(heads, standardised(vectors, heads.mean, heads.scale)))


def _exactly(heads: Heads, points: NDArray[np.float32]) -> Array:
    """(n, columns) in float64, a block of support vectors at a time: they are never all held in float64."""
    wide = points.astype(np.float64)
    scores = np.tile(heads.intercept, (len(points), 1))
    for start in range(0, len(heads.support), BLOCK):
        block = slice(start, start + BLOCK)
        scores += rbf(wide, heads.support[block].astype(np.float64), heads.gamma) @ heads.dual[block]
    return scores


@dataclass(frozen=True, slots=True)
class Fast:
    """`Heads` made ready, once, to score many windows in float32; holds the support vectors a second time.

    exp(-g |x - s|^2) = exp(-g |x|^2) exp(-g |s|^2) exp(2g x.s): the middle factor goes into the coefficients, so that
    what a window costs is one product of matrices, one exp, and one small product for all heads together. How many
    windows are scored at once decides the order of its sums, and in float32 the order shows: so these are short, and of
    what the last factor differs from 1; the coefficients' own sum is in float64.
    """

    heads: Heads
    support: NDArray[np.float32] = field(repr=False)  #: (values, support vectors), times 2 gamma
    dual: NDArray[np.float32] = field(repr=False)  #: (support vectors, columns), times exp(-gamma |support|^2)
    total: Array = field(repr=False)  #: (columns,) sums of these
    margin: float  #: `MARGIN`, or four times what float32 is wrong by where that is more
    product: "Product | None" = None  #: what scores in float32, where numpy does not


#: (n, values), standardised, -> (n, columns), decision values from float32.
Product = Callable[[NDArray[np.float32]], Array]


def fast(heads: Heads, elsewhere: Callable[[Fast], Product] | None = None) -> Fast:
    """Make a bundle's heads ready for `fast_decisions`, on a processor or elsewhere."""
    lengths = np.einsum("ij,ij->i", heads.support, heads.support, dtype=np.float64)  # (support vectors,)
    dual = heads.dual * np.exp(-heads.gamma * lengths)[:, None]
    support = heads.support.T * np.float32(2 * heads.gamma)
    made = Fast(heads, np.ascontiguousarray(support), dual.astype(np.float32), dual.sum(axis=0), MARGIN)
    if elsewhere is not None:
        made = replace(made, product=elsewhere(made))
    some = heads.support[:: max(1, len(heads.support) // PROBED)]
    wrong = np.abs(_roughly(made, some) - _exactly(heads, some))
    # Two values may be wrong by as much each, in opposite ways; and other windows by more than these.
    return replace(made, margin=max(MARGIN, 4 * float(wrong[np.isfinite(wrong)].max(initial=0))))


def fast_decisions(made: Fast, vectors: NDArray[np.floating]) -> tuple[dict[str, Array], NDArray[np.bool_]]:
    """What `decisions` says, to about 1e-5, and which windows (n,) were too close to call and scored in float64.

    These are the windows of which any head's two largest values lie within `margin`, so no label differs.
    """
    points = standardised(vectors, made.heads.mean, made.heads.scale)
    scores = np.concatenate([_roughly(made, points[at : at + BATCH]) for at in range(0, max(1, len(points)), BATCH)])
    close = _close(made, scores)
    if close.any():
        scores[close] = _exactly(made.heads, points[close])
    return _by_head(made.heads, scores), close


def scored(made: Fast, vectors: NDArray[np.floating]) -> dict[str, Array]:
    """What `decisions` says: of few support vectors in float64, where neighbours change nothing that can be seen."""
    if made.heads.support.size <= SMALL:
        return decisions(made.heads, vectors)
    return fast_decisions(made, vectors)[0]


def _roughly(made: Fast, points: NDArray[np.float32]) -> Array:
    """(n, columns) from float32. What float32 cannot hold comes out as no number, and is scored again."""
    if made.product is not None:
        return made.product(points)
    with np.errstate(over="ignore", invalid="ignore"):
        kernel = points @ made.support  # (n, support vectors)
        np.exp(kernel, out=kernel)
        kernel -= 1
        blocks = [slice(start, start + BLOCK) for start in range(0, len(made.dual), BLOCK)]
        summed: Array = sum((kernel[:, block] @ made.dual[block] for block in blocks), made.total)
        lengths = np.einsum("ij,ij->i", points, points, dtype=np.float64)  # (n,)
        scores: Array = np.exp(-made.heads.gamma * lengths)[:, None] * summed + made.heads.intercept
    return scores


def _close(made: Fast, scores: Array) -> NDArray[np.bool_]:
    """(n,) windows of which a head's best and second best class lie within the margin, or any is no number."""
    certain = np.isfinite(scores).all(axis=1)
    for columns in _columns(made.heads.classes).values():
        ordered = np.sort(scores[:, columns], axis=1)
        certain &= ordered[:, -1] - ordered[:, -2] >= made.margin
    return np.logical_not(certain)


def _by_head(heads: Heads, scores: Array) -> dict[str, Array]:
    return {head: scores[:, columns] for head, columns in _columns(heads.classes).items()}


def _columns(classes: Mapping[str, tuple[str, ...]]) -> dict[str, slice]:
    edges = accumulate((len(names) for names in classes.values()), initial=0)
    return {head: slice(*ends) for head, ends in zip(classes, pairwise(edges), strict=True)}
