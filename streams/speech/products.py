"""Matrix products in which a row's bits depend on nothing beside it, not even on which row it is."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Product = Callable[[Floats], Floats]  #: (rows, inputs) -> (rows, outputs)

ABREAST = 16  #: rows that every BLAS takes abreast, in the lanes of its registers


def product(weights: Floats, *rows: int) -> Product:
    """How to multiply so many rows (multiples of 16) by `weights`, (inputs, outputs): all at once where that will do.

    OpenBLAS's kernel for AVX2 does not take all rows through the same instructions, those for AVX and AVX-512 do, but
    for AVX-512 not where there are few of them: the machine is asked. To be asked, and used, on one BLAS thread.
    """
    at_once = _at_once(weights)
    return at_once if _treats_alike(at_once, rows, len(weights)) else _abreast(weights)


def _at_once(weights: Floats) -> Product:
    return lambda rows: rows @ weights


def _abreast(weights: Floats) -> Product:
    turned = np.ascontiguousarray(weights.T)  # (outputs, inputs)

    def multiply(rows: Floats) -> Floats:
        blocks = rows.reshape(-1, ABREAST, rows.shape[1]).transpose(0, 2, 1)  # (blocks, inputs, 16)
        return (turned @ blocks).transpose(0, 2, 1).reshape(len(rows), -1)

    return multiply


def _treats_alike(way: Product, rows: Sequence[int], inputs: int) -> bool:
    """Whether every row comes out the same where every row goes in the same, however many of `rows` go in."""
    row = np.random.default_rng(0).standard_normal(inputs, np.float32)
    out = np.concatenate([way(np.tile(row, (count, 1))) for count in rows])
    return bool((out == out[0]).all())
