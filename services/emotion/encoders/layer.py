"""One layer of the transformer, over the frames of a whole pack."""

from typing import Any

from torch import Tensor, nn

from services.emotion.encoders.attention import Attend
from services.emotion.encoders.kernels import Kernels
from services.emotion.encoders.products import Product, in_place
from services.emotion.encoders.relative import Gate


class Layer(nn.Module):
    """wav2vec 2.0's layer or WavLM's, with norms before (`stable`) or after what is added."""

    def __init__(self, layer: Any, *, stable: bool, kernels: Kernels | None) -> None:  # noqa: ANN401 - transformers is not typed
        super().__init__()
        self.kernels = kernels
        attention, forward = layer.attention, layer.feed_forward
        self.stable = stable
        self.together = Product(attention.q_proj, attention.k_proj, attention.v_proj)
        self.out = Product(attention.out_proj)
        self.gate = Gate(attention, kernels) if hasattr(attention, "gru_rel_pos_linear") else None
        self.up, self.down = Product(forward.intermediate_dense), Product(forward.output_dense)
        self.activate = in_place(forward.intermediate_act_fn)
        self.first, self.second = layer.layer_norm, layer.final_layer_norm
        self.adapter = getattr(layer, "adapter_layer", None)

    def forward(self, frames: Tensor, rows: Tensor, attend: Attend) -> tuple[Tensor, Tensor]:
        """Frames and their norm where norms come first, each (frames, values) -> frames, and what is to be added."""
        gate = None if self.gate is None else self.gate(rows)
        heard = self.out(attend(self.together(rows), gate))
        total, normed = summed(frames, heard, self.first if not self.stable else self.second, self.kernels)
        if not self.stable:
            return normed, self._forward(normed)
        more = self._forward(normed)
        if self.adapter is None:
            return total, more
        total = total + more
        return total, self.adapter(total)

    def _forward(self, rows: Tensor) -> Tensor:
        wide = self.activate(self.up(rows)) if self.kernels is None else self.up.activated(rows)
        found: Tensor = self.down(wide)
        return found


def summed(frames: Tensor, more: Tensor, norm: nn.LayerNorm, kernels: Kernels | None) -> tuple[Tensor, Tensor]:
    """The sum and its norm, (frames, values)."""
    if kernels is not None:
        return kernels.summed(frames, more, norm)
    total = frames + more
    return total, norm(total)
