"""What is done row by row between two products of matrices, each in one pass over memory."""

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from services.emotion.encoders.packing import BLOCK, Pack

ROWS, GATED, WARPS = 8, 4, 4  #: of one program


def first(samples: Tensor, weight: Tensor, bias: Tensor | None, norm: nn.LayerNorm, stride: int) -> Tensor:
    """The first convolution, its norm and GELU: (samples,), weight (taps, channels) -> (rows, channels)."""
    taps, channels = weight.shape
    count = (len(samples) - taps) // stride + 1
    found = samples.new_empty(count, channels)
    _first[(triton.cdiv(count, ROWS),)](
        samples, weight, weight if bias is None else bias, norm.weight, norm.bias, found, count, norm.eps,
        taps, stride, channels, bias is not None, ROWS, num_warps=WARPS,
    )  # fmt: skip
    return found


def finished(rows: Tensor, bias: Tensor | None, norm: nn.LayerNorm) -> Tensor:
    """GELU of the norm of rows and bias, in their place: (n, channels)."""
    _finished[(triton.cdiv(len(rows), ROWS),)](
        rows, rows if bias is None else bias, norm.weight, norm.bias, len(rows), norm.eps,
        rows.shape[1], bias is not None, ROWS, num_warps=WARPS,
    )  # fmt: skip
    return rows


def summed(rows: Tensor, more: Tensor, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    """The sum and its norm, each (n, values)."""
    total, normed = torch.empty_like(rows), torch.empty_like(rows)
    _summed[(len(rows),)](
        rows, more, norm.weight, norm.bias, total, normed, norm.eps,
        rows.shape[1], triton.next_power_of_2(rows.shape[1]), num_warps=4,
    )  # fmt: skip
    return total, normed


def beside(frames: Tensor, pack: Pack, groups: int, taps: int) -> Tensor:
    """What each block of frames sees of its window, group by group: (groups, blocks, (taps + BLOCK - 1) x values).

    Of (frames, groups x values). Nothing lies beyond a window.
    """
    blocks, values, span = len(pack.blocks), frames.shape[1] // groups, taps + BLOCK - 1
    found = frames.new_empty(groups, blocks, span * values)
    room = triton.next_power_of_2(values)
    _beside[(blocks, groups)](
        frames, pack.blocks, pack.edges, found, blocks, frames.shape[1], taps // 2, values, span, 32, room, num_warps=4
    )
    return found


def gates(rows: Tensor, weight: Tensor, bias: Tensor, scale: Tensor) -> Tensor:
    """WavLM's gates, (frames, heads), of what the attention reads, (frames, values); see `relative.Gate`."""
    heads = len(scale)
    found = rows.new_empty(len(rows), heads)
    _gates[(triton.cdiv(len(rows), GATED),)](
        rows, weight, bias, scale, found, len(rows), heads, rows.shape[1] // heads, GATED, num_warps=WARPS
    )
    return found


@triton.jit
def _normed(rows, inside, scale, shift, eps, size: tl.constexpr):
    """Rows of `size` values, what lies behind them 0."""
    mean = tl.sum(rows, 1) / size
    centred = tl.where(inside[None, :], rows - mean[:, None], 0.0)
    spread = tl.sum(centred * centred, 1) / size
    return centred * (1 / tl.sqrt(spread + eps))[:, None] * scale[None, :] + shift[None, :]


@triton.jit
def _gelu(rows):
    """By tanh, as in products of matrices: a third of the time of erf, and off by less than bfloat16's own rounding."""
    return rows * tl.sigmoid(1.5957691216057308 * (rows + 0.044715 * rows * rows * rows))


@triton.jit
def _first(
    samples, weight, bias, scale, shift, found, count, eps,
    taps: tl.constexpr, stride: tl.constexpr, channels: tl.constexpr, biased: tl.constexpr, rows: tl.constexpr,
):  # fmt: skip
    row, channel = tl.program_id(0) * rows + tl.arange(0, rows), tl.arange(0, channels)
    heard = tl.zeros([rows, channels], tl.float32)
    for tap in tl.static_range(taps):
        sample = tl.load(samples + row * stride + tap, mask=row < count, other=0.0).to(tl.float32)
        heard += sample[:, None] * tl.load(weight + tap * channels + channel).to(tl.float32)[None, :]
    if biased:
        heard += tl.load(bias + channel).to(tl.float32)[None, :]
    scales, shifts = tl.load(scale + channel).to(tl.float32), tl.load(shift + channel).to(tl.float32)
    done = _gelu(_normed(heard, channel < channels, scales, shifts, eps, channels))
    out = found + row[:, None].to(tl.int64) * channels + channel[None, :]
    tl.store(out, done.to(found.dtype.element_ty), mask=row[:, None] < count)


@triton.jit
def _finished(given, bias, scale, shift, count, eps, channels: tl.constexpr, biased: tl.constexpr, rows: tl.constexpr):
    row, channel = tl.program_id(0) * rows + tl.arange(0, rows), tl.arange(0, channels)
    at, inside = given + row[:, None].to(tl.int64) * channels + channel[None, :], row[:, None] < count
    heard = tl.load(at, mask=inside, other=0.0).to(tl.float32)
    if biased:
        heard += tl.load(bias + channel).to(tl.float32)[None, :]
    scales, shifts = tl.load(scale + channel).to(tl.float32), tl.load(shift + channel).to(tl.float32)
    done = _gelu(_normed(heard, channel < channels, scales, shifts, eps, channels))
    tl.store(at, done.to(given.dtype.element_ty), mask=inside)


@triton.jit
def _summed(given, more, scale, shift, total, normed, eps, size: tl.constexpr, room: tl.constexpr):
    value = tl.arange(0, room)
    at, inside = tl.program_id(0).to(tl.int64) * size + value, value < size
    row = tl.load(given + at, mask=inside, other=0.0).to(tl.float32)
    row += tl.load(more + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(total + at, row.to(total.dtype.element_ty), mask=inside)
    scales = tl.load(scale + value, mask=inside, other=0.0).to(tl.float32)
    shifts = tl.load(shift + value, mask=inside, other=0.0).to(tl.float32)
    done = _normed(row[None, :], inside, scales, shifts, eps, size)
    tl.store(normed + at[None, :], done.to(normed.dtype.element_ty), mask=inside[None, :])


@triton.jit
def _beside(
    frames, blocks, edges, found, count, width, before,
    values: tl.constexpr, span: tl.constexpr, rows: tl.constexpr, room: tl.constexpr,
):  # fmt: skip
    number, group = tl.program_id(0), tl.program_id(1)
    window, start = tl.load(blocks + 2 * number), tl.load(blocks + 2 * number + 1)
    first, last = tl.load(edges + window), tl.load(edges + window + 1)
    value = tl.arange(0, room)[None, :]
    into = found + (group.to(tl.int64) * count + number) * span * values
    for at in range(0, span, rows):
        row = at + tl.arange(0, rows)[:, None]
        frame = first + start - before + row
        own = (frame >= first) & (frame < last) & (value < values)
        seen = tl.load(frames + frame.to(tl.int64) * width + group * values + value, mask=own, other=0.0)
        tl.store(into + row * values + value, seen, mask=(row < span) & (value < values))


@triton.jit
def _gates(given, weight, bias, scale, found, count, heads: tl.constexpr, width: tl.constexpr, rows: tl.constexpr):
    row, head, one = tl.program_id(0) * rows + tl.arange(0, rows), tl.arange(0, heads), tl.arange(0, width)
    inside = row[:, None] < count
    at = (row[:, None] * heads + head[None, :]).to(tl.int64)
    read = tl.load(given + at[:, :, None] * width + one[None, None, :], mask=inside[:, :, None], other=0.0).to(
        tl.float32
    )
    first, second = tl.load(weight + one).to(tl.float32), tl.load(weight + width + one).to(tl.float32)
    some = tl.sigmoid(tl.sum(read * first[None, None, :], 2) + tl.load(bias).to(tl.float32))
    other = tl.sigmoid(tl.sum(read * second[None, None, :], 2) + tl.load(bias + 1).to(tl.float32))
    scales = tl.load(scale + head).to(tl.float32)[None, :]
    tl.store(found + at, (some * (other * scales - 1) + 2).to(found.dtype.element_ty), mask=inside)
