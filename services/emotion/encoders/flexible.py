"""Attention of a whole pack with WavLM's bias, by FlexAttention (Dong et al., 2024).

The bias is added to each score where it is computed, and blocks of frames that share no window are not computed.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from services.emotion.encoders.attention import Attend, heads_of, joined
from services.emotion.encoders.packing import Pack
from services.emotion.encoders.relative import Bias

BLOCK = 128  #: frames; FlexAttention's own


class Flexible:
    """The whole pack at once, bias included."""

    def __init__(self, heads: int, bias: Bias, *, compiled: bool) -> None:
        self.heads, self.bias = heads, bias
        self.kernel: Any = torch.compile(flex_attention, dynamic=True) if compiled else flex_attention

    def over(self, pack: Pack) -> Attend:
        """See `Attention`."""
        mask, table, far = blocks(pack), self.bias.table, self.bias.far

        def attend(together: Tensor, gate: Tensor | None) -> Tensor:
            query, key, value = heads_of(together, self.heads)

            def score(found: Tensor, _: Tensor, head: Tensor, at: Tensor, other: Tensor) -> Tensor:
                return found + gate[at, head] * table[head, (other - at).clamp(-far, far) + far]  # type: ignore[index]  # WavLM has gates

            # A value that is no number would pass a weight of 0 into the next window; its own window has more of them.
            return joined(self.kernel(query, key, value.nan_to_num(), score_mod=score, block_mask=mask))

        return attend


def blocks(pack: Pack) -> BlockMask:
    """Which blocks of keys each block of queries needs: from its first window's first to its last window's last."""
    owner, edges, frames = pack.owner, pack.edges, pack.frames
    count = -(-frames // BLOCK)
    begins = torch.arange(count, device=owner.device) * BLOCK
    ends = (begins + BLOCK - 1).clamp(max=frames - 1)
    first = edges[owner[begins]] // BLOCK  # (blocks,)
    last = (edges[owner[ends] + 1] - 1) // BLOCK
    # Behind those that count, any order of the others will do.
    indices = (first[:, None] + torch.arange(count, device=owner.device)) % count

    def same(_: Tensor, __: Tensor, at: Tensor, other: Tensor) -> Tensor:
        return owner[at] == owner[other]

    found: BlockMask = BlockMask.from_kv_blocks(
        (last - first + 1).int()[None, None],
        indices.int()[None, None],
        BLOCK_SIZE=BLOCK,
        mask_mod=same,
        seq_lengths=(frames, frames),
        compute_q_blocks=False,
    )
    return found
