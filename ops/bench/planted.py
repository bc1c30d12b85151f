"""Whether six heads say the same of two versions of the same vectors, with labels that are planted in them."""

import numpy as np
from numpy.typing import NDArray

from services.emotion.heads import decisions
from services.training.machines import fit
from streams.domain.schemes import CC_DEBT

LEARNT = 200  #: windows that the heads are fitted on
SEED = 6

Vectors = NDArray[np.float32]


def alike(exact: Vectors, other: Vectors) -> float:
    """The share of labels that are the same, over all heads and every window that none was fitted on."""
    shifts, wanted = planted(exact, SEED)
    heads = fit(CC_DEBT, (exact + shifts)[:LEARNT], {head: classes[:LEARNT] for head, classes in wanted.items()})
    said, again = (decisions(heads, (each + shifts)[LEARNT:]) for each in (exact, other))
    return float(np.mean([said[head].argmax(axis=1) == again[head].argmax(axis=1) for head in wanted]))


def planted(vectors: Vectors, seed: int) -> tuple[Vectors, dict[str, NDArray[np.int64]]]:
    """Shifts as large as the vectors' own spread, one a class of each dimension, and the classes."""
    random, shifts = np.random.default_rng(seed), np.zeros_like(vectors)
    wanted: dict[str, NDArray[np.int64]] = {}
    for name, dimension in CC_DEBT.dimensions.items():
        said = random.integers(len(dimension.classes), size=len(vectors))
        shifts += random.normal(size=(len(dimension.classes), vectors.shape[1]))[said] * vectors.std(axis=0)
        binary = [[full in members for members in dimension.binary.values()].index(True) for full in dimension.classes]
        wanted |= {f"{name}.full": said, f"{name}.binary": np.array(binary)[said]}
    return shifts, wanted
