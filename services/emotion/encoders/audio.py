"""How windows come, and how they become the stream of a pack on the encoder's device.

* `Ready`: at the encoder's rate and normalised.
* `Recorded`: as they were recorded. They are resampled and normalised on the device, all of a pack at once. The filter
  is soxr's own, read off its response to one sample, so that a window is what `soxr.resample` makes of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.emotion.encoders.packing import Pack, on_device

REACH = 264  #: samples at the encoder's rate to either side, beyond which soxr's filter is nothing but rounding
EPSILON = 1e-7  #: what transformers adds to a variance


#: A tensor of the processor's, which a GPU may read by itself -> the same on the encoder's device.
Send = Callable[[Tensor], Tensor]


class Audio(Protocol):
    """One way in which windows come."""

    @property
    def factor(self) -> int:
        """Samples at the encoder's rate that become of one."""

    def stream(self, windows: Sequence[Tensor], pack: Pack, stride: int, send: Send) -> Tensor:
        """(samples,) on the device: the windows where the pack says, and nothing between them."""


@dataclass(frozen=True, slots=True)
class Ready:
    """At the encoder's rate and normalised, to be sent in the encoder's precision."""

    dtype: torch.dtype
    factor: int = 1

    def stream(self, windows: Sequence[Tensor], pack: Pack, stride: int, send: Send) -> Tensor:  # noqa: ARG002 - `Audio`
        """See `Audio`."""
        stream = pinned(pack.samples, self.dtype, pack.device)
        for start, end, window in zip(pack.starts, [*pack.starts[1:], pack.samples], windows, strict=True):
            stream[start : start + len(window)] = window
            stream[start + len(window) : end] = 0
        return send(stream)


def pinned(samples: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Memory of the processor's, and where the device is a GPU such as that reads by itself."""
    return torch.empty(samples, dtype=dtype, pin_memory=device.type == "cuda")


@dataclass(frozen=True, slots=True)
class Recorded:
    """At a rate of which the encoder's is a multiple."""

    rate: int
    to: int  #: the encoder's rate, a multiple of it
    normalised: bool  #: to mean 0 and variance 1, window by window, as the model was trained

    @property
    def factor(self) -> int:
        """Samples that become of one."""
        return self.to // self.rate

    def stream(self, windows: Sequence[Tensor], pack: Pack, stride: int, send: Send) -> Tensor:
        """See `Audio`; in float32."""
        lengths = np.array([self.factor * len(window) for window in windows])
        slots = -(-lengths // stride)
        owner = np.repeat(np.arange(len(slots)), slots)  # (slots,)
        left = (
            lengths[owner] - (np.arange(len(owner)) - (slots.cumsum() - slots)[owner]) * stride
        )  # samples from each on
        inside = torch.arange(stride, device=pack.device) < on_device(pack.device, left)[:, None]
        found = torch.zeros(pack.samples // stride, stride, device=pack.device)
        own = found[: len(owner)]
        torch.mul(self._resampled(windows, slots, pack, stride, send), inside, out=own)
        if self.normalised:
            _normalise(own, inside, on_device(pack.device, owner), on_device(pack.device, lengths))
        return found.flatten()

    def _resampled(
        self, windows: Sequence[Tensor], slots: NDArray[np.int64], pack: Pack, stride: int, send: Send
    ) -> Tensor:
        """(slots, stride) of all windows, one after the other; what lies behind a window's end is of no use."""
        block = stride // self.factor  # samples of a slot, as they come
        reach = 0 if self.factor == 1 else REACH // self.factor
        gap = -(-reach // block)  # slots of nothing, so that no window hears another
        starts = gap + np.append(0, (slots + gap).cumsum())
        near = send(_laid(windows, starts * block, pack.device))[gap * block - reach :]
        seen = near.as_strided((int(starts[-1]) - 2 * gap, block + 2 * reach), (block, 1))
        rows = np.concatenate([np.arange(count) + start - gap for start, count in zip(starts, slots, strict=False)])
        seen = seen[on_device(near.device, rows)]  # (slots, block + 2 reach)
        return seen if self.factor == 1 else seen @ filters(self.rate, self.to, block, near.device)


def _laid(windows: Sequence[Tensor], starts: NDArray[np.int64], device: torch.device) -> Tensor:
    """The windows at these places, nothing between them and after the last place."""
    found = pinned(int(starts[-1]), torch.float32, device).zero_()
    for start, window in zip(starts, windows, strict=False):
        found[start : start + len(window)] = window
    return found


@cache
def filters(rate: int, to: int, block: int, device: torch.device) -> Tensor:
    """(block + 2 reach, block x factor): what each sample of a block and beside it adds to each sample that becomes."""
    factor, reach, heard = to // rate, REACH // (to // rate), response(rate, to)
    found = torch.zeros(block + 2 * reach, block * factor)
    for sample in range(block + 2 * reach):
        first = (sample - reach) * factor - REACH  # of the samples that become, where this one is first heard
        start, end = max(0, first), min(block * factor, first + len(heard))
        if start < end:
            found[sample, start:end] = torch.from_numpy(heard[start - first : end - first])
    return found.to(device)


def response(rate: int, to: int) -> NDArray[np.float32]:
    """(2 REACH + 1,): what soxr makes of one sample, which becomes the middle one."""
    import soxr  # noqa: PLC0415 - what a GPU is benched with need not have it

    factor, middle = to // rate, 4 * REACH
    one = np.zeros(2 * middle, np.float32)
    one[middle] = 1
    heard: NDArray[np.float32] = soxr.resample(one, rate, to)
    return heard[factor * middle - REACH : factor * middle + REACH + 1]


def _normalise(own: Tensor, inside: Tensor, owner: Tensor, lengths: Tensor) -> None:
    """Each window's samples to mean 0 and variance 1, in their place."""
    own -= (_sums(own, owner, lengths) / lengths).float()[owner][:, None]
    own *= inside
    spread = _sums(own.square(), owner, lengths) / lengths
    own *= (spread + EPSILON).rsqrt().float()[owner][:, None]


def _sums(values: Tensor, owner: Tensor, lengths: Tensor) -> Tensor:
    """(windows,), float64."""
    found = torch.zeros(len(lengths), dtype=torch.float64, device=values.device)
    return found.index_add_(0, owner, values.sum(dim=1).double())
