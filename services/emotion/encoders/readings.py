"""What is kept of the hidden layers while they pass: means, weighted sums or the frames themselves."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from services.emotion.encoders.packing import Pack
from services.emotion.encoders.segments import window_means


def means(states: Iterable[Tensor], pack: Pack, layers: Sequence[int]) -> Tensor:
    """(windows, layers asked for, values) in float32: each window's mean over its own frames."""
    found = {
        at: window_means(state, pack) for at, state in zip(range(max(layers) + 1), states, strict=False) if at in layers
    }
    return torch.stack([found[at] for at in layers], dim=1)


def mixed(states: Iterable[Tensor], weights: Tensor) -> Tensor:
    """(sums, frames, values) in float32 of the first layers, as many as `weights`, (sums, layers), has columns."""
    each = iter(states)
    total = weights[:, 0, None, None] * next(each).float()
    for weight, state in zip(weights.T[1:, :, None, None], each, strict=False):
        total.addcmul_(weight, state.float())
    return total


def kept(states: Iterable[Tensor], layers: int) -> Tensor:
    """(layers, frames, values): the first layers, frame by frame."""
    return torch.stack([state for _, state in zip(range(layers), states, strict=False)])
