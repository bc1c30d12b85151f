"""An encoder made of a network of transformers': the same hidden layers of the same weights, in another order of work.

Hidden layer 0 is what the first layer of the transformer reads, hidden layer k what its k-th gives. The last one of all
is taken after the encoder's final norm, as it was trained to be (ops/adr/0140-encoders.md).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from services.emotion.encoders import readings
from services.emotion.encoders.attention import Alone, Attention, Together
from services.emotion.encoders.extractor import Extractor
from services.emotion.encoders.flexible import Flexible
from services.emotion.encoders.graphs import Graphs, room, rungs
from services.emotion.encoders.layer import Layer
from services.emotion.encoders.packing import Geometry, Pack, pack, packs
from services.emotion.encoders.positions import Positions, reach
from services.emotion.encoders.products import Product
from services.emotion.encoders.relative import Bias

#: Makes what is wanted of the hidden layers as they pass, and asks for no more of them.
Read = Callable[[Iterator[Tensor], Pack], Tensor]

RATE = 16_000
#: Seconds of audio that go through the encoder together: enough rows for full speed, and few enough for a CPU's caches.
PACK_S, GPU_PACK_S = 10, 320


class Encoder(nn.Module):
    """A frozen encoder. Takes over the network's weights; nothing of it may be used afterwards."""

    def __init__(self, network: Any) -> None:  # noqa: ANN401 - transformers is not typed
        super().__init__()
        config, encoder = network.config, network.encoder
        layers = list(encoder.layers)
        self.values = int(config.hidden_size)
        self.geometry = Geometry(tuple(config.conv_kernel), tuple(config.conv_stride), reach(encoder.pos_conv_embed))
        self.extract = Extractor(network.feature_extractor.conv_layers)
        self.project_norm = network.feature_projection.layer_norm
        self.project = Product(network.feature_projection.projection)
        self.positions = Positions(encoder.pos_conv_embed)
        self.stable = bool(config.do_stable_layer_norm)
        self.norm = encoder.layer_norm
        #: Which hidden layer has the final norm; what an adapter reads has none.
        self.normed = len(layers) if self.stable and network.adapter is None else None
        self.bias = Bias(layers[0].attention) if hasattr(layers[0].attention, "rel_attn_embed") else None
        self.layers = nn.ModuleList([Layer(layer, stable=self.stable) for layer in layers])
        self.attention = fitting(int(config.num_attention_heads), self.bias, self.norm.weight)
        self.graphs: Graphs | None = None
        self.eval().requires_grad_(requires_grad=False)

    @property
    def last(self) -> int:
        """The last hidden layer that can be read."""
        return len(self.layers)

    def hurry(self) -> None:
        """Take a GPU's time to prepare for its speed: fused kernels now, and graphs for small packs as they come."""
        steps: list[tuple[Any, str]] = [(layer, name) for layer in self.layers for name in ("read", "written")]
        for part, name in [*steps, *((convolution, "finished") for convolution in self.extract.convolutions)]:
            setattr(part, name, _fused(getattr(part, name)))
        self.graphs = None if isinstance(self.attention, Alone) else Graphs(self.geometry)

    def warm(self, layers: Sequence[int]) -> None:
        """Record all runs for these layers now, so that no window waits for it."""
        for slots in rungs(self.geometry) if self.graphs is not None else ():
            self.means([torch.zeros((slots - 1) * self.geometry.stride)], layers)

    def exit_at(self, layer: int) -> None:
        """Forget the layers after hidden layer `layer`."""
        self.layers = self.layers[:layer]

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        found: torch.device = self.norm.weight.device
        return found

    @property
    def dtype(self) -> torch.dtype:
        """What it computes with."""
        found: torch.dtype = self.norm.weight.dtype
        return found

    def means(self, windows: Sequence[Tensor], layers: Sequence[int]) -> Tensor:
        """(n, layers asked for, values), float32: means over each window's own frames. No later layer is computed.

        A window is (samples,), normalised as the model's preprocessor says, and long enough for a frame.
        """
        found = torch.empty(len(windows), len(layers), self.values, device=self.device)
        for some in self._packs(windows):
            found[some] = self._means(windows[some], layers)
        return found

    def mixed(self, windows: Sequence[Tensor], weights: Tensor) -> list[Tensor]:
        """(frames, values) of each window, float32: the weighed sum of as many of the first hidden layers."""
        return self._frames(windows, lambda states, _: readings.mixed(states, weights.to(self.device)))

    def frames(self, windows: Sequence[Tensor]) -> list[Tensor]:
        """(layers, frames, values) of each window: every hidden layer."""
        found = self._frames(windows, lambda states, _: readings.kept(states, self.last + 1).transpose(0, 1))
        return [each.transpose(0, 1) for each in found]

    def states(self, samples: Tensor, packed: Pack) -> Iterator[Tensor]:
        """(frames, values) of one hidden layer after the other; none is computed before it is asked for."""
        frames = self.project(self.project_norm(self.extract(samples, packed)))
        frames = frames + self.positions(frames, packed)
        if not self.stable:
            frames = self.norm(frames)
        yield frames
        attend = self.attention.over(packed)
        for at, layer in enumerate(self.layers, 1):
            frames = layer(frames, attend)
            yield self.norm(frames) if at == self.normed else frames

    def _means(self, windows: Sequence[Tensor], layers: Sequence[int]) -> Tensor:
        lengths = [len(window) for window in windows]
        size = None if self.graphs is None else room(self.geometry, lengths)
        packed = pack(self.geometry, lengths, self.device, size)
        stream = self._stream(windows, packed)

        def run(samples: Tensor, laid: Pack) -> Tensor:
            return self._read(samples, laid, lambda states, where: readings.means(states, where, layers))

        if self.graphs is None or size is None:
            return run(stream, packed)
        return self.graphs.replay((size, tuple(layers)), stream, packed, run)

    def _frames(self, windows: Sequence[Tensor], read: Read) -> list[Tensor]:
        """What is read of each frame, (frames, ...), window by window."""
        found: list[Tensor] = []
        for some in self._packs(windows):
            packed = pack(self.geometry, [len(window) for window in windows[some]], self.device)
            whole = self._read(self._stream(windows[some], packed), packed, read)
            found += torch.split(whole, [end - start for start, end in packed.bounds])
        return found

    @torch.no_grad()
    def _read(self, samples: Tensor, packed: Pack, read: Read) -> Tensor:
        # cuDNN would take ten bits of float32.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return read(self.states(samples, packed), packed)

    def _stream(self, windows: Sequence[Tensor], packed: Pack) -> Tensor:
        """The windows where the pack says, and nothing between them."""
        near = windows[0].device
        stream = torch.zeros(packed.samples, device=near, pin_memory=near != self.device)
        for start, window in zip(packed.starts, windows, strict=True):
            stream[start : start + len(window)] = window
        return stream.to(self.device, non_blocking=True).to(self.dtype)

    def _packs(self, windows: Sequence[Tensor]) -> Iterator[slice]:
        budget = RATE * (GPU_PACK_S if self.device.type == "cuda" else PACK_S)
        return packs([len(window) for window in windows], budget)


def fitting(heads: int, bias: Bias | None, weight: Tensor) -> Attention:
    """The fastest way of attention on the weight's device, in its precision."""
    if not weight.is_cuda or weight.dtype == torch.float32:  # FlashAttention has no float32
        return Alone(heads, bias)
    return Together(heads) if bias is None else Flexible(heads, bias, compiled=True)


def _fused(steps: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(steps, dynamic=True)
