"""From the frames of windows to one vector each: statistics (SP), or attentive correlations (AttCP).

Frames come padded with a mask, (windows, frames), of those that are the window's own; every window has one or more.
What stands in padding never counts. SP: Snyder et al., *X-vectors*, ICASSP 2018. AttCP: Stafylakis et al., *Extracting
speaker and emotion information from self-supervised speech models via channel-wise correlations*, SLT 2022, with the
attention of Kakouros et al., *Speech-based emotion recognition with self-supervised models using attentive
channel-wise correlations and label smoothing*, ICASSP 2023.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNEL_DROPOUT = 0.25
ATTENTION_HEADS = 4
ATTENTION_HIDDEN = 128  #: chosen here: the papers leave the attention's inner size open
TINY = 1e-9  #: under the root of a correlation: a channel that is dropped or constant correlates with none


class StatisticsPooling(nn.Module):
    """SP: mean and standard deviation over the window's own frames."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.values = 2 * channels

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """(windows, frames, channels) -> (windows, 2 channels)."""
        own = mask.to(frames.dtype)  # (windows, frames)
        mean, centred = _centred(_own(frames, mask), weights := own / own.sum(dim=1, keepdim=True))
        variance = torch.einsum("nt,ntc->nc", weights, centred**2)
        # The root's slope at 0 is no number: a constant channel must not spoil the others.
        positive = variance > 0
        spread = torch.where(positive, torch.where(positive, variance, 1.0).sqrt(), 0.0)
        return torch.cat([mean, spread], dim=1)


class CorrelationPooling(nn.Module):
    """AttCP: how channels correlate over the window's own frames, each frame weighing as attention says."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Linear(channels, ATTENTION_HIDDEN)
        self.heads = nn.Linear(ATTENTION_HIDDEN, ATTENTION_HEADS)
        self.values = channels * (channels - 1) // 2

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """(windows, frames, channels) -> (windows, channels (channels - 1) / 2): the upper triangle, row by row."""
        own = _own(frames, mask).transpose(1, 2)  # (windows, channels, frames)
        kept: Tensor = functional.dropout1d(own, CHANNEL_DROPOUT, self.training).transpose(1, 2)
        _, centred = _centred(kept, weights := self.attention(kept, mask))
        covariance = (weights[:, :, None] * centred).transpose(1, 2) @ centred  # (windows, channels, channels)
        spread = (covariance.diagonal(dim1=1, dim2=2) + TINY).sqrt()
        correlation = covariance / (spread[:, :, None] * spread[:, None, :])
        rows, columns = torch.triu_indices(frames.shape[2], frames.shape[2], offset=1, device=frames.device)
        pairs: Tensor = correlation[:, rows, columns]
        return pairs

    def attention(self, frames: Tensor, mask: Tensor) -> Tensor:
        """(windows, frames): weights that sum to 1 over the window's own frames and are exactly 0 in padding."""
        scores = self.heads(self.inner(frames).relu()).logsumexp(dim=2)
        weights: Tensor = scores.masked_fill(~mask, -torch.inf).softmax(dim=1)
        return weights


def _own(frames: Tensor, mask: Tensor) -> Tensor:
    """The frames with 0 in padding: what is no number there would stay one under a weight of 0."""
    return frames.masked_fill(~mask[:, :, None], 0)


def _centred(frames: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The weighed mean, (windows, channels), and the frames less it."""
    mean = torch.einsum("nt,ntc->nc", weights, frames)
    return mean, frames - mean[:, None]
