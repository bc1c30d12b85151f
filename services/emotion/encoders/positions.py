"""What a frame's place adds to it: a convolution over frames, 128 wide in every published model."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from services.emotion.encoders.packing import Pack
from services.emotion.encoders.products import frozen


class Positions(nn.Module):
    """The positional convolution over a pack. Frames of nothing part its windows, as nothing lies beyond a window."""

    def __init__(self, embedding: Any) -> None:  # noqa: ANN401 - transformers is not typed
        super().__init__()
        self.weight = frozen(embedding.conv.weight)  # its norm and direction made one, once
        self.bias = frozen(embedding.conv.bias)
        self.groups = int(embedding.conv.groups)
        self.activate = embedding.activation

    def forward(self, frames: Tensor, pack: Pack) -> Tensor:
        """(frames, values) of each frame's place, to be added."""
        reach, spots = self.weight.shape[2] // 2, pack.spots
        stream = frames.new_zeros(pack.frames + pack.gap * (len(pack.bounds) - 1), frames.shape[1])
        stream.index_copy_(0, spots, frames)
        heard = functional.conv1d(stream.T[None], self.weight, self.bias, padding=reach, groups=self.groups)[0].T
        found: Tensor = self.activate(heard[spots])
        return found


def reach(embedding: Any) -> int:  # noqa: ANN401 - as above
    """How many frames to either side it sees at most."""
    return int(embedding.conv.kernel_size[0]) // 2
