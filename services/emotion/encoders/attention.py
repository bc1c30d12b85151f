"""Attention of each window's frames to each other, and to no others: without padding, in two ways for one result.

* `Alone`: window by window, on any device and in any precision. WavLM's bias is made for a few queries at a time.
* `Together`: every window of the pack in one launch on a GPU, in half precision.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from services.emotion.encoders.packing import Pack
from services.emotion.encoders.relative import Bias

QUERIES = 128  #: that a bias is made for at a time

#: Queries, keys and values, (frames, 3 values), and gates, (frames, heads), -> (frames, values).
Attend = Callable[[Tensor, Tensor | None], Tensor]


class Attention(Protocol):
    """One way."""

    def over(self, pack: Pack) -> Attend:
        """Attention of these windows' frames: made once for all layers."""


@dataclass(frozen=True, slots=True)
class Alone:
    """Window by window."""

    heads: int
    bias: Bias | None

    def over(self, pack: Pack) -> Attend:
        """See `Attention`."""

        def attend(together: Tensor, gate: Tensor | None) -> Tensor:
            found = together.new_empty(len(together), together.shape[1] // 3)
            for start, end in pack.bounds:
                query, key, value = heads_of(together[start:end], self.heads)
                if self.bias is None or gate is None:
                    found[start:end] = joined(functional.scaled_dot_product_attention(query, key, value))
                else:
                    found[start:end] = joined(biased(query, key, value, self.bias, gate[start:end]))
            return found

        return attend


class Together:
    """The whole pack at once, in half precision on a GPU."""

    def __init__(self, heads: int, bias: Bias | None) -> None:
        from services.emotion.encoders.kernels import attention  # noqa: PLC0415 - Triton is not to be had everywhere

        self.heads, self._kernel = heads, attention.attention
        self._biases = None if bias is None else attention.bias_tiles(bias.table)

    def over(self, pack: Pack) -> Attend:
        """See `Attention`."""
        return lambda together, gate: self._kernel(together, pack, self.heads, self._biases, gate)


def heads_of(together: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, each (1, heads, frames, width)."""
    query, key, value = together.view(len(together), 3, heads, -1).permute(1, 2, 0, 3)[:, None]
    return query, key, value


def joined(heard: Tensor) -> Tensor:
    """(1, heads, frames, width) -> (frames, values)."""
    return heard[0].transpose(0, 1).flatten(1)


def biased(query: Tensor, key: Tensor, value: Tensor, bias: Bias, gate: Tensor) -> Tensor:
    """(1, heads, frames, width): attention with gate times bias added to the scores, in memory linear in the frames."""
    frames = query.shape[2]
    far = bias.between(frames)  # (heads, 2 frames - 1)
    parts = []
    for start in range(0, frames, QUERIES):
        some = slice(start, min(start + QUERIES, frames))
        mask = rows_of(far, frames, some) * gate[some].T[:, :, None]  # (heads, queries, frames)
        parts.append(functional.scaled_dot_product_attention(query[:, :, some], key, value, attn_mask=mask[None]))
    return torch.cat(parts, dim=2)


def rows_of(far: Tensor, frames: int, queries: slice) -> Tensor:
    """(heads, queries, frames): the bias of each of these queries to every key, out of that by distance."""
    shifted = far.unfold(1, frames, 1)  # (heads, frames, frames), a view: row m begins at distance m - (frames - 1)
    return shifted[:, frames - queries.stop : frames - queries.start].flip(1)
