"""What a frame's place adds to it: a convolution over frames, 128 wide in every published model."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.emotion.encoders.kernels import Kernels
from services.emotion.encoders.packing import BLOCK, Pack
from services.emotion.encoders.products import frozen, in_place


class Positions(nn.Module):
    """The positional convolution over a pack. Frames of nothing part its windows, as nothing lies beyond a window."""

    def __init__(self, embedding: Any, kernels: Kernels | None) -> None:  # noqa: ANN401 - transformers is not typed
        super().__init__()
        weight = embedding.conv.weight.detach()  # its norm and direction made one, once
        self.kernels, self.taps, self.groups = kernels, int(weight.shape[2]), int(embedding.conv.groups)
        self.weight = frozen(weight if kernels is None else in_blocks(weight, self.groups, BLOCK))
        self.bias = frozen(embedding.conv.bias)
        self.activate = in_place(embedding.activation)

    def forward(self, frames: Tensor, pack: Pack) -> Tensor:
        """(frames, values) of each frame's place, to be added."""
        heard = self._convolved(frames, pack) if self.kernels is None else self._in_blocks(self.kernels, frames, pack)
        return self.activate(heard)

    def _convolved(self, frames: Tensor, pack: Pack) -> Tensor:
        spots = pack.spots
        stream = frames.new_zeros(pack.frames + pack.gap * (len(pack.bounds) - 1), frames.shape[1])
        stream.index_copy_(0, spots, frames)
        heard = functional.conv1d(stream.T[None], self.weight, self.bias, padding=self.taps // 2, groups=self.groups)
        return heard[0].T[spots]

    def _in_blocks(self, kernels: Kernels, frames: Tensor, pack: Pack) -> Tensor:
        """The same as one product a group, for which cuDNN's grouped convolution takes several times as long."""
        seen = kernels.beside(frames, pack, self.groups, self.taps)
        heard = torch.bmm(seen, self.weight)  # (groups, blocks, BLOCK x values of a group)
        apart = heard.view(self.groups, -1, len(self.bias) // self.groups).transpose(0, 1)[pack.places]
        return apart.flatten(1) + self.bias


def in_blocks(weight: Tensor, groups: int, block: int) -> Tensor:
    """(values, values of a group, taps) -> (groups, (taps + block - 1) x values, block x values): each frame's taps."""
    values, width, taps = weight.shape
    own = weight.view(groups, values // groups, width, taps).permute(0, 3, 2, 1)  # (groups, taps, in, out)
    found = weight.new_zeros(groups, taps + block - 1, width, block, values // groups)
    for at in range(block):
        found[:, at : at + taps, :, at] = own
    return found.view(groups, (taps + block - 1) * width, -1)


def reach(embedding: Any) -> int:  # noqa: ANN401 - as above
    """How many frames to either side it sees at most."""
    return int(embedding.conv.kernel_size[0]) // 2
