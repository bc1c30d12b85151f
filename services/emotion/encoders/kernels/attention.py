"""Attention of every window of a pack in one launch a layer, with WavLM's gated bias where there is one.

The online softmax of Dao et al., *FlashAttention*, NeurIPS 2022: a program has the scores of `TILE` frames of one
window and head, and goes through that window's keys as many at a time; nothing of another window is ever read.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from services.emotion.encoders.packing import TILE, Pack

WARPS, STAGES = 4, 3
LOG2_E = 1.4426950408889634


def attention(together: Tensor, pack: Pack, heads: int, biases: Tensor | None, gate: Tensor | None) -> Tensor:
    """Queries, keys and values, (frames, 3 values), -> (frames, values). `biases` as `bias_tiles` makes them."""
    frames, values = len(together), together.shape[1] // 3
    found = together.new_empty(frames, values)
    _attend[(len(pack.tiles), heads)](
        together,
        found,
        pack.tiles,
        pack.edges,
        together if biases is None else biases,
        together if gate is None else gate,
        (values // heads) ** -0.5 * LOG2_E,
        1 if biases is None else biases.shape[1] // 2,
        heads,
        values // heads,
        biases is not None,
        TILE,
        num_warps=WARPS,
        num_stages=STAGES,
    )
    return found


def bias_tiles(table: Tensor) -> Tensor:
    """(heads, 2 n + 1, TILE, TILE) of the bias by distance, (heads, 2 far + 1), times log2(e).

    The tile n + d is that of keys that begin d tiles after the queries; those further than n off are all alike.
    """
    far = table.shape[1] // 2
    n = -(-far // TILE) + 1
    apart = torch.arange(-n, n + 1, device=table.device)[:, None, None] * TILE
    within = torch.arange(TILE, device=table.device) - torch.arange(TILE, device=table.device)[:, None]
    return table[:, (apart + within).clamp(-far, far) + far] * LOG2_E


@triton.jit
def _attend(
    together, found, places, edges, biases, gates, scale, reach,
    heads: tl.constexpr, width: tl.constexpr, biased: tl.constexpr, tile: tl.constexpr,
):  # fmt: skip
    number, head = tl.program_id(0), tl.program_id(1)
    window, start = tl.load(places + 2 * number), tl.load(places + 2 * number + 1)
    first = tl.load(edges + window)
    count = tl.load(edges + window + 1) - first
    if start < count:
        row: tl.constexpr = 3 * heads * width
        query, one = start + tl.arange(0, tile), tl.arange(0, width)
        own = together + first.to(tl.int64) * row + head * width
        here = query[:, None] < count
        q = tl.load(own + query[:, None] * row + one[None, :], mask=here, other=0.0)
        gate = tl.full([tile], 0.0, tl.float32)
        if biased:
            gate = tl.load(gates + (first + query) * heads + head, mask=query < count, other=0.0).to(tl.float32)
        top = tl.full([tile], -1e30, tl.float32)
        total = tl.full([tile], 0.0, tl.float32)
        heard = tl.zeros([tile, width], tl.float32)
        inner = tl.arange(0, tile)[:, None] * tile + tl.arange(0, tile)[None, :]
        for at in range(0, count, tile):
            key = at + tl.arange(0, tile)
            k = tl.load(own + heads * width + key[None, :] * row + one[:, None], mask=key[None, :] < count, other=0.0)
            score = tl.dot(q, k) * scale
            if biased:
                apart = tl.minimum(tl.maximum((at - start) // tile, -reach), reach) + reach
                bias = tl.load(biases + (head * (2 * reach + 1) + apart) * tile * tile + inner)
                score += gate[:, None] * bias.to(tl.float32)
            score = tl.where(key[None, :] < count, score, -float("inf"))
            high = tl.maximum(top, tl.max(score, 1))
            weight, fade = tl.exp2(score - high[:, None]), tl.exp2(top - high)
            total = total * fade + tl.sum(weight, 1)
            v = tl.load(
                own + 2 * heads * width + key[:, None] * row + one[None, :], mask=key[:, None] < count, other=0.0
            )
            heard = heard * fade[:, None] + tl.dot(weight.to(v.dtype), v)
            top = high
        out = found + (first + query[:, None]).to(tl.int64) * heads * width + head * width + one[None, :]
        tl.store(out, (heard / total[:, None]).to(found.dtype.element_ty), mask=here)
