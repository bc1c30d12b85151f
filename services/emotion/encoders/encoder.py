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
from services.emotion.encoders.audio import Audio, Ready
from services.emotion.encoders.extractor import Extractor
from services.emotion.encoders.graphs import Graphs, largest, room, rungs
from services.emotion.encoders.kernels import kernels_for
from services.emotion.encoders.layer import Layer, summed
from services.emotion.encoders.packing import Geometry, Pack, pack, packs
from services.emotion.encoders.positions import Positions, reach
from services.emotion.encoders.products import Product
from services.emotion.encoders.relative import Bias

#: Makes what is wanted of the hidden layers as they pass, and asks for no more of them.
Read = Callable[[Iterator[Tensor], Pack], Tensor]

RATE = 16_000
PACK_S = 10  #: of audio that go through a CPU together: enough rows for full speed, and few enough for its caches


class Encoder(nn.Module):
    """A frozen encoder. Takes over the network's weights; nothing of it may be used afterwards."""

    def __init__(self, network: Any) -> None:  # noqa: ANN401 - transformers is not typed
        super().__init__()
        config, encoder = network.config, network.encoder
        layers, kernels = list(encoder.layers), kernels_for(network)
        self.kernels = kernels
        self.values = int(config.hidden_size)
        self.geometry = Geometry(tuple(config.conv_kernel), tuple(config.conv_stride), reach(encoder.pos_conv_embed))
        self.extract = Extractor(network.feature_extractor.conv_layers, kernels)
        self.project_norm = network.feature_projection.layer_norm
        self.project = Product(network.feature_projection.projection)
        self.positions = Positions(encoder.pos_conv_embed, kernels)
        self.stable = bool(config.do_stable_layer_norm)
        self.norm = encoder.layer_norm
        self.whole = len(layers)  #: the last hidden layer of the network, whatever is left of it
        #: Which hidden layer has the final norm; what an adapter reads has none.
        self.normed = self.whole if self.stable and network.adapter is None else None
        self.bias = Bias(layers[0].attention) if hasattr(layers[0].attention, "rel_attn_embed") else None
        self.layers = nn.ModuleList([Layer(layer, stable=self.stable, kernels=kernels) for layer in layers])
        heads = int(config.num_attention_heads)
        self.attention: Attention = Alone(heads, self.bias) if kernels is None else Together(heads, self.bias)
        self.graphs = None if kernels is None else Graphs(self.geometry)
        self.aside = torch.cuda.Stream() if self.device.type == "cuda" else None  # type: ignore[no-untyped-call]  # torch's own
        self.eval().requires_grad_(requires_grad=False)

    @property
    def ready(self) -> Ready:
        """How windows come that are at its rate and normalised."""
        return Ready(self.dtype)

    @property
    def last(self) -> int:
        """The last hidden layer that can be read."""
        return len(self.layers)

    def warm(self, layers: Sequence[int]) -> None:
        """Record all runs for these layers now, so that no window waits for it."""
        for slots in rungs(self.geometry) if self.graphs is not None else ():
            self.means([torch.zeros((slots - 1) * self.geometry.stride)], layers)

    def exit_at(self, layer: int) -> None:
        """Forget the layers after hidden layer `layer`."""
        self.layers = self.layers[:layer]

    def deepen(self, whole: "Encoder") -> None:
        """Take back the layers that were forgotten from another encoder of the same weights; runs go on meanwhile."""
        self.layers = nn.ModuleList([*self.layers, *whole.layers[len(self.layers) :]])

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

    def means(self, windows: Sequence[Tensor], layers: Sequence[int], audio: Audio | None = None) -> Tensor:
        """(n, layers asked for, values), float32: means over each window's own frames. No later layer is computed.

        A window is (samples,), long enough for a frame, and comes as `audio` says; `Ready` unless it does.
        """
        audio = audio or self.ready
        found = torch.empty(len(windows), len(layers), self.values, device=self.device)
        for some in self._packs(windows, audio):
            found[some] = self._means(windows[some], layers, audio)
        return found

    def mixed(self, windows: Sequence[Tensor], weights: Tensor, audio: Audio | None = None) -> Iterator[Tensor]:
        """(sums, frames, values), float32, of one window after the other: weighed sums of the first hidden layers.

        `weights` is (sums, layers). Layers are added up as they pass, so that memory does not grow with their number.
        """
        return self._each(windows, lambda states, _: readings.mixed(states, weights.to(self.device)), audio)

    def hidden(self, windows: Sequence[Tensor], audio: Audio | None = None) -> Iterator[Tensor]:
        """(layers, frames, values), float32, of one window after the other: all hidden layers, one pack at a time."""
        every = self._each(windows, lambda states, _: readings.kept(states, self.last + 1), audio)
        return (frames.float() for frames in every)

    def _each(self, windows: Sequence[Tensor], read: Read, audio: Audio | None) -> Iterator[Tensor]:
        """What is read of the frames of one window after the other."""
        audio = audio or self.ready
        for some in self._packs(windows, audio):
            yield from self._frames(windows[some], read, audio)

    def states(self, samples: Tensor, packed: Pack) -> Iterator[Tensor]:
        """(frames, values) of one hidden layer after the other; none is computed before it is asked for."""
        frames = self.project(self.project_norm(self.extract(samples, packed)))
        layers = self.layers  # another thread may put others in their place
        norms = self._norms(layers)
        frames, rows = self._next(frames, self.positions(frames, packed), next(norms))
        yield frames
        attend = self.attention.over(packed)
        for at, (layer, norm) in enumerate(zip(layers, norms, strict=True), 1):
            frames, more = layer(frames, rows, attend)
            frames, rows = self._next(frames, more, norm)
            yield rows if at == self.normed else frames

    def _norms(self, layers: nn.ModuleList) -> Iterator[Any]:
        """What the frames are normed by before the first layer and after each: for the next, where norms come first."""
        if self.stable:
            yield from (layer.first for layer in layers)
            yield self.norm
        else:
            yield self.norm
            yield from (layer.second for layer in layers)

    def _next(self, frames: Tensor, more: Tensor, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
        """The next frames, and what the next layer reads of them."""
        total, normed = summed(frames, more, norm, self.kernels)
        return (total if self.stable else normed), normed

    def _means(self, windows: Sequence[Tensor], layers: Sequence[int], audio: Audio) -> Tensor:
        lengths = [audio.factor * len(window) for window in windows]
        size = None if self.graphs is None else room(self.geometry, lengths)
        packed = pack(self.geometry, lengths, self.device, size)
        stream = self._stream(windows, packed, audio)

        def run(samples: Tensor, laid: Pack) -> Tensor:
            return self._read(samples, laid, lambda states, where: readings.means(states, where, layers))

        if self.graphs is None or size is None:
            return run(stream, packed)
        deepest = [self.project, *self.layers][max(layers)]
        return self.graphs.replay((size, tuple(layers)), deepest, stream, packed, run)

    def _frames(self, windows: Sequence[Tensor], read: Read, audio: Audio) -> Sequence[Tensor]:
        """What is read of the frames of one pack, (..., frames, values), window by window."""
        packed = pack(self.geometry, [audio.factor * len(window) for window in windows], self.device)
        whole = self._read(self._stream(windows, packed, audio), packed, read)
        return torch.split(whole, [end - start for start, end in packed.bounds], dim=-2)

    @torch.no_grad()
    def _read(self, samples: Tensor, packed: Pack, read: Read) -> Tensor:
        # cuDNN would take ten bits of float32.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return read(self.states(samples, packed), packed)

    def _stream(self, windows: Sequence[Tensor], packed: Pack, audio: Audio) -> Tensor:
        return audio.stream(windows, packed, self.geometry.stride, self._send).to(self.dtype)

    def _send(self, stream: Tensor) -> Tensor:
        """To the encoder's device, which may still be busy with the pack before if it is a GPU."""
        if self.aside is None:
            return stream.to(self.device)
        with torch.cuda.stream(self.aside):
            sent = stream.to(self.device, non_blocking=True)
        now = torch.cuda.current_stream()
        now.wait_stream(self.aside)
        sent.record_stream(now)
        return sent

    def _packs(self, windows: Sequence[Tensor], audio: Audio) -> Iterator[slice]:
        lengths = [audio.factor * len(window) for window in windows]
        if self.graphs is None:
            return packs(lengths, RATE * PACK_S)
        stride, most = self.geometry.stride, largest(self.geometry)
        return packs([-(-length // stride) * stride for length in lengths], (most.slots - 1) * stride, most.windows - 1)
