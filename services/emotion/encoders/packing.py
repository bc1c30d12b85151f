"""Where each window of a pack lies: one after the other in one stream of samples, and then in one stream of frames.

A convolution that is normalised frame by frame sees no neighbour if every window begins at a multiple of the product
of its strides; the frames that reach from one window into the next are left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Numbers = NDArray[np.int64]

#: Frames of one window that a program of a GPU takes together: queries of the attention, and rows of the positions.
TILE, BLOCK = 64, 8


@dataclass(frozen=True, slots=True)
class Geometry:
    """The convolutions of an encoder."""

    kernels: tuple[int, ...]  #: of the feature extractor, in samples and then in frames
    strides: tuple[int, ...]
    reach: int  #: frames to either side that the positional convolution sees

    @property
    def stride(self) -> int:
        """Samples from one frame to the next."""
        return prod(self.strides)

    def frames(self, samples: Numbers, layers: int | None = None) -> Numbers:
        """How many frames windows of so many samples have after all convolutions, or after the first `layers`."""
        for kernel, stride in list(zip(self.kernels, self.strides, strict=True))[:layers]:
            samples = (samples - kernel) // stride + 1
        return samples


@dataclass(frozen=True, slots=True)
class Room:
    """A fixed size for packs of less: what is left over is one more window, which nobody reads."""

    slots: int  #: strides of the stream of samples
    windows: int  #: that of the rest included


@dataclass(frozen=True, slots=True)
class Pack:
    """Where the windows are. Tensors lie on the encoder's device; a pack in a `Room` has its shapes for any windows."""

    lengths: tuple[int, ...]  #: samples of each window
    starts: tuple[int, ...]  #: of each window in the stream of samples
    samples: int  #: in the stream
    bounds: tuple[tuple[int, int], ...]  #: first frame of each window and the first after it, the rest's included
    spans: tuple[tuple[int, int], ...]  #: the same after the first convolution, in all of its frames
    gap: int  #: frames of nothing between two windows where the positional convolution runs
    rows: Tensor  #: (frames,) which frames of the feature extractor's are the windows' own
    owner: Tensor  #: (frames,) which window each is of
    edges: Tensor  #: (windows + 1,) int32, where windows begin and end among the frames
    first: Tensor  #: (2 windows + 1,) where windows, and what lies between them, begin after the first convolution
    tiles: Tensor  #: (n, 2) int32, window and first of its frames of each stretch of `TILE` frames
    blocks: Tensor  #: (n, 2) int32, the same of `BLOCK` frames
    places: Tensor  #: (frames,) where each frame is if every window begins with a block

    @property
    def frames(self) -> int:
        """All windows' frames together."""
        return len(self.rows)

    @property
    def device(self) -> torch.device:
        """Where the encoder runs."""
        return self.rows.device

    @property
    def spots(self) -> Tensor:
        """(frames,) where each frame lies if `gap` frames of nothing part the windows."""
        return torch.arange(self.frames, device=self.owner.device) + self.gap * self.owner


def packs(lengths: Sequence[int], budget: int, most: int | None = None) -> Iterator[slice]:
    """Windows in the order given: as many together as the budget of samples and `most` allow, and one at least."""
    first = total = 0
    for at, length in enumerate(lengths):
        if at > first and (total + length > budget or at - first == most):
            yield slice(first, at)
            first, total = at, 0
        total += length
    if lengths:
        yield slice(first, len(lengths))


def pack(geometry: Geometry, lengths: Sequence[int], device: torch.device, room: Room | None = None) -> Pack:
    """Windows of so many samples, one after the other. Each must have a frame, and together they must have room."""
    own = np.array(lengths, np.int64)
    slots, counts = -(-own // geometry.stride), geometry.frames(own)
    rows = [np.arange(count) + start for count, start in zip(counts, _starts(slots), strict=True)]
    if room is not None:
        slots, counts, rows = _in_room(geometry, room, slots, counts, rows)
    spans = _spans(geometry, slots, own)
    edges = np.append(0, counts.cumsum())
    owner = np.repeat(np.arange(len(counts)), counts)
    before = _starts(-(-counts // BLOCK) * BLOCK)  # frames of the blocks of earlier windows
    return Pack(
        lengths=tuple(lengths),
        starts=tuple((_starts(slots)[: len(own)] * geometry.stride).tolist()),
        samples=int(slots.sum()) * geometry.stride,
        bounds=tuple(pairwise(edges.tolist())),
        spans=tuple(map(tuple, spans[: len(own)].tolist())),
        gap=geometry.reach,
        rows=on_device(device, np.concatenate(rows)),
        owner=on_device(device, owner),
        edges=on_device(device, edges.astype(np.int32)),
        first=on_device(device, np.append(spans.ravel(), _first_frames(geometry, slots))),
        tiles=on_device(device, _stretches(counts, TILE)),
        blocks=on_device(device, _stretches(counts, BLOCK)),
        places=on_device(device, np.arange(len(owner)) + (before - edges[:-1])[owner]),
    )


def on_device(device: torch.device, numbers: NDArray[Any]) -> Tensor:
    """On a GPU from memory that it reads by itself, while the processor goes on."""
    found = torch.from_numpy(numbers)
    return found.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else found


def _stretches(counts: Numbers, size: int) -> NDArray[np.int32]:
    """(n, 2): window and first frame of each stretch; as many for all windows of so many frames, some empty."""
    each = -(-counts // size)
    window = np.repeat(np.arange(len(counts)), each)
    frame = (np.arange(len(window)) - _starts(each)[window]) * size
    found = np.full((int(counts.sum()) // size + len(counts), 2), (0, counts.sum()))
    found[: len(window)] = np.stack([window, frame], axis=1)
    return found.astype(np.int32)


def _starts(slots: Numbers) -> Numbers:
    return slots.cumsum() - slots


def _in_room(
    geometry: Geometry, room: Room, slots: Numbers, counts: Numbers, rows: list[Numbers]
) -> tuple[Numbers, Numbers, list[Numbers]]:
    """The same with the rest as one more window and with empty ones behind it."""
    frames = int(geometry.frames(np.array(room.slots * geometry.stride)))
    empty = np.zeros(room.windows - len(slots) - 1, np.int64)
    rest = frames - counts.sum()
    slots = np.concatenate([slots, [room.slots - slots.sum()], empty])
    return slots, np.concatenate([counts, [rest], empty]), [*rows, np.zeros(rest, np.int64)]


def _spans(geometry: Geometry, slots: Numbers, own: Numbers) -> Numbers:
    """(windows, 2): first frame after the first convolution and the first after it; a rest has what there is."""
    starts = _starts(slots) * geometry.stride // geometry.strides[0]
    ends = np.minimum(np.append(starts[1:], _first_frames(geometry, slots)), _first_frames(geometry, slots))
    ends[: len(own)] = starts[: len(own)] + geometry.frames(own, 1)
    return np.stack([np.minimum(starts, ends), ends], axis=1)


def _first_frames(geometry: Geometry, slots: Numbers) -> int:
    return int(geometry.frames(slots.sum() * geometry.stride, 1))
