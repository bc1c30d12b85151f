"""Means over stretches of rows."""

import torch
from torch import Tensor

from services.emotion.encoders.packing import Pack


def window_means(rows: Tensor, pack: Pack) -> Tensor:
    """(windows, values) of (frames, values)."""
    if rows.is_cuda:
        return segment_means(rows, pack.edges)
    own = pack.bounds[: len(pack.lengths)]
    return torch.stack([rows[start:end].mean(dim=0, dtype=torch.float32) for start, end in own])


def segment_means(rows: Tensor, edges: Tensor) -> Tensor:
    """(segments, values): the mean between each edge and the next, no number where there is nothing."""
    return torch.segment_reduce(rows.float(), "mean", offsets=edges.long(), axis=0, unsafe=True)
