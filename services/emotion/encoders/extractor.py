"""The convolutions that make frames of samples, as products of matrices over the stream of a whole pack.

A kernel of k taps at stride s is ceil(k / s) products in float32: rows of s frames side by side are a view of the
stream. Normalisation over channels sees one frame; normalisation over time (`feat_extract_norm` "group", wav2vec 2.0
base) is done window by window.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.emotion.encoders.kernels import Kernels
from services.emotion.encoders.packing import Pack
from services.emotion.encoders.products import added, frozen, in_place, product
from services.emotion.encoders.segments import segment_means


class Extractor(nn.Module):
    """Samples in, frames out."""

    def __init__(self, layers: nn.ModuleList, kernels: Kernels | None) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList([Convolution(layer, kernels) for layer in layers])

    def forward(self, samples: Tensor, pack: Pack) -> Tensor:
        """(samples,) of the pack's stream -> (frames, channels) of its windows."""
        rows = samples[:, None]
        for convolution in self.convolutions:
            rows = convolution(rows, pack)
        return rows[pack.rows]


class Convolution(nn.Module):
    """One convolution with what follows it frame by frame."""

    def __init__(self, layer: Any, kernels: Kernels | None) -> None:  # noqa: ANN401 - transformers is not typed
        super().__init__()
        conv, norm = layer.conv, getattr(layer, "layer_norm", None)
        self.channels, self.stride = int(conv.in_channels), int(conv.stride[0])
        self.taps = int(conv.kernel_size[0])
        # Taps of one product. Samples alone are too few, and in halves a sum of two products would be rounded twice.
        whole = kernels is not None or self.channels == 1 or conv.weight.dtype != torch.float32
        self.side = self.taps if whole else self.stride
        parts = conv.weight.split(self.side, dim=2)  # each (outputs, channels, taps)
        self.weights = nn.ParameterList([frozen(part.transpose(1, 2).flatten(1).contiguous()) for part in parts])
        self.bias = None if conv.bias is None else frozen(conv.bias)
        self.norm = OverTime(norm) if isinstance(norm, nn.GroupNorm) else norm
        self.activate = in_place(layer.activation)
        self.kernels = kernels

    def forward(self, rows: Tensor, pack: Pack) -> Tensor:
        """(rows, channels) -> (rows / stride, outputs)."""
        if self.kernels is not None and isinstance(self.norm, nn.LayerNorm):
            return self._by_kernels(self.kernels, self.norm, rows)
        found = self.products(rows)
        return self.finished(self.norm(found, pack) if isinstance(self.norm, OverTime) else found)

    def _by_kernels(self, kernels: Kernels, norm: nn.LayerNorm, rows: Tensor) -> Tensor:
        (weight,) = self.weights
        if self.channels == 1:
            return kernels.first(rows[:, 0], weight.T.contiguous(), self.bias, norm, self.stride)
        # cuDNN needs no copy of rows that overlap: to it frames are the width of an image, and channels its last axis.
        image = weight.view(len(weight), 1, self.taps, -1).permute(0, 3, 1, 2)
        found = functional.conv2d(rows.T[None, :, None], image, stride=(1, self.stride))[0, :, 0].T
        return kernels.finished(found, self.bias, norm)

    def products(self, rows: Tensor) -> Tensor:
        """(rows, channels) -> (rows / stride, outputs): the convolution alone."""
        count = (len(rows) - self.taps) // self.stride + 1
        first, *others = self.weights
        found = product(self._beside(rows, 0, count, first), first, self.bias)
        for at, weight in enumerate(others, 1):
            found = added(found, self._beside(rows, at, count, weight), weight)
        return found

    def finished(self, found: Tensor) -> Tensor:
        """What follows row by row."""
        normed = self.norm(found) if isinstance(self.norm, nn.LayerNorm) else found
        return self.activate(normed)

    def _beside(self, rows: Tensor, part: int, count: int, weight: Tensor) -> Tensor:
        """(count, taps of this part x channels): a view, or a copy where its rows overlap."""
        strides = (self.stride * self.channels, 1)
        return rows.as_strided((count, weight.shape[1]), strides, part * self.side * self.channels).contiguous()


class OverTime(nn.Module):
    """Each channel of each window normalised over the window's own frames: a group norm of one channel a group."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = frozen(norm.weight), frozen(norm.bias), norm.eps

    def forward(self, rows: Tensor, pack: Pack) -> Tensor:
        """(rows, channels) after the first convolution; what lies between windows is of no use before and after."""
        if rows.is_cuda:
            return self._by_segments(rows, pack.first)
        for start, end in pack.spans:
            own = rows[start:end]
            exact = own.float()  # in float32 the same memory
            exact.sub_(exact.mean(dim=0))
            spread = (exact.square().mean(dim=0) + self.eps).rsqrt()
            own.copy_(exact.mul_(spread * self.weight).add_(self.bias))
        return rows

    def _by_segments(self, rows: Tensor, edges: Tensor) -> Tensor:
        """The same without a word about any window, so that shapes alone decide what is run."""
        sizes = edges.diff()
        owner = torch.repeat_interleave(torch.arange(len(sizes), device=rows.device), sizes, output_size=len(rows))
        centred = rows.float() - segment_means(rows, edges)[owner]
        spread = (segment_means(centred**2, edges) + self.eps).rsqrt()[owner]
        return (centred * spread * self.weight + self.bias).to(rows.dtype)
