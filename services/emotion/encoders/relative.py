"""WavLM's gated relative position bias, from Chi et al., *XLM-E: Cross-lingual Language Model Pre-training*, ACL 2022.

A score's bias is a gate, which each query has for each head, times a number by distance and head. The numbers are the
first layer's for all layers, and the same beyond `max_bucket_distance`: a table of them is kept, not (frames, frames).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.emotion.encoders.kernels import Kernels
from services.emotion.encoders.products import frozen


class Bias(nn.Module):
    """The numbers by distance."""

    def __init__(self, attention: Any) -> None:  # noqa: ANN401 - transformers is not typed
        super().__init__()
        self.far = int(attention.max_distance)
        distances = torch.arange(-self.far, self.far + 1)
        buckets = attention._relative_positions_bucket(distances)  # noqa: SLF001 - it has no other name
        weight = attention.rel_attn_embed.weight
        self.table = frozen(weight[buckets.to(weight.device)].T.contiguous())  # (heads, 2 far + 1)

    def between(self, frames: int) -> Tensor:
        """(heads, 2 frames - 1): from the key that lies furthest before its query to that furthest after it."""
        distances = torch.arange(1 - frames, frames, device=self.table.device)
        return self.table[:, distances.clamp(-self.far, self.far) + self.far]


class Gate(nn.Module):
    """How much of the bias a query takes, head by head."""

    def __init__(self, attention: Any, kernels: Kernels | None) -> None:  # noqa: ANN401 - transformers is not typed
        super().__init__()
        self.kernels, linear = kernels, attention.gru_rel_pos_linear
        # What is summed four by four after the product may as well be summed before it.
        self.weight = frozen(linear.weight.view(2, 4, -1).sum(1))
        self.bias = frozen(linear.bias.view(2, 4).sum(1))
        self.scale = frozen(attention.gru_rel_pos_const.flatten())  # (heads,)

    def forward(self, rows: Tensor) -> Tensor:
        """(frames, values) as the attention reads them -> (frames, heads)."""
        if self.kernels is not None:
            return self.kernels.gates(rows, self.weight, self.bias, self.scale)
        each = rows.view(len(rows), len(self.scale), -1)  # (frames, heads, width)
        one, other = functional.linear(each, self.weight, self.bias).sigmoid().unbind(2)
        return one * (other * self.scale - 1) + 2
