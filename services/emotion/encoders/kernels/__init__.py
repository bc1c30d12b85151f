"""Kernels of the project's own for an NVIDIA GPU, in Triton, each measured to win (ops/adr/0144-kernels.md)."""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from services.emotion.encoders.packing import Pack


class Kernels(Protocol):
    """What `rows.py` offers, where it can be had."""

    def first(self, samples: Tensor, weight: Tensor, bias: Tensor | None, norm: nn.LayerNorm, stride: int) -> Tensor:
        """See `rows.first`."""

    def finished(self, rows: Tensor, bias: Tensor | None, norm: nn.LayerNorm) -> Tensor:
        """See `rows.finished`."""

    def summed(self, rows: Tensor, more: Tensor, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
        """See `rows.summed`."""

    def beside(self, frames: Tensor, pack: Pack, groups: int, taps: int) -> Tensor:
        """See `rows.beside`."""

    def gates(self, rows: Tensor, weight: Tensor, bias: Tensor, scale: Tensor) -> Tensor:
        """See `rows.gates`."""


def kernels_for(network: Any) -> Kernels | None:  # noqa: ANN401 - transformers is not typed
    """The kernels where the network is on a GPU, in half precision, and of the published shapes' kind."""
    if network.device.type != "cuda" or network.dtype != torch.bfloat16 or not _known(network.config):
        return None
    from services.emotion.encoders.kernels import rows  # noqa: PLC0415 - Triton is not to be had everywhere

    return rows


def _known(config: Any) -> bool:  # noqa: ANN401 - as above
    """Whether the kernels can do it: GELU, and powers of two where a program holds a whole row or head."""
    sizes = [*config.conv_dim, config.hidden_size // config.num_attention_heads]
    activations = {config.hidden_act, config.feat_extract_activation}
    return activations == {"gelu"} and all(size >= 16 and size & (size - 1) == 0 for size in sizes)
