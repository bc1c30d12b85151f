"""One layer of the transformer, over the frames of a whole pack."""

from typing import Any

from torch import Tensor, nn

from services.emotion.encoders.attention import Attend
from services.emotion.encoders.products import Product
from services.emotion.encoders.relative import Gate


class Layer(nn.Module):
    """wav2vec 2.0's layer or WavLM's, with norms before (`stable`) or after what is added."""

    def __init__(self, layer: Any, *, stable: bool) -> None:  # noqa: ANN401 - transformers is not typed
        super().__init__()
        attention, forward = layer.attention, layer.feed_forward
        self.stable = stable
        self.together = Product(attention.q_proj, attention.k_proj, attention.v_proj)
        self.out = Product(attention.out_proj)
        self.gate = Gate(attention) if hasattr(attention, "gru_rel_pos_linear") else None
        self.up, self.down = Product(forward.intermediate_dense), Product(forward.output_dense)
        self.activate = forward.intermediate_act_fn
        self.first, self.second = layer.layer_norm, layer.final_layer_norm
        self.adapter = getattr(layer, "adapter_layer", None)

    def forward(self, frames: Tensor, attend: Attend) -> Tensor:
        """(frames, values) -> (frames, values)."""
        return self.written(frames, attend(*self.read(frames)))

    def read(self, frames: Tensor) -> tuple[Tensor, Tensor | None]:
        """Queries, keys and values, (frames, 3 values), and gates, (frames, heads)."""
        rows = self.first(frames) if self.stable else frames
        return self.together(rows), None if self.gate is None else self.gate(rows)

    def written(self, frames: Tensor, heard: Tensor) -> Tensor:
        """The frames with what attention heard in them, (frames, values)."""
        frames = frames + self.out(heard)
        if not self.stable:
            frames = self.first(frames)
            done: Tensor = self.second(frames + self._forward(frames))
            return done
        frames = frames + self._forward(self.second(frames))
        return frames if self.adapter is None else frames + self.adapter(frames)

    def _forward(self, rows: Tensor) -> Tensor:
        found: Tensor = self.down(self.activate(self.up(rows)))
        return found
