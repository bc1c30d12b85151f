"""What transformers computes, and how close to it ours must be."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from services.emotion.encoders.encoder import Encoder

HALF = torch.bfloat16


def own(theirs: PreTrainedModel, windows: Sequence[Tensor]) -> list[Tensor]:
    """(layers, frames, values) of each window by itself, as transformers computes them in the network's precision."""
    with torch.no_grad():
        found = [theirs(window[None].to(theirs.dtype), output_hidden_states=True) for window in windows]
    return [torch.cat([*each.hidden_states[:-1], each.last_hidden_state]) for each in found]


def check_own(encoder: Encoder, windows: Sequence[Tensor], wanted: Sequence[Tensor], layers: Sequence[int]) -> None:
    """The windows' frames and means in these layers are those wanted, (all layers, frames, values) of each."""
    frames, means = list(encoder.hidden(windows)), encoder.means(windows, layers)
    for at, theirs in enumerate(wanted):
        torch.testing.assert_close(frames[at][layers], theirs[layers], atol=1e-4, rtol=0)
        torch.testing.assert_close(means[at], theirs[layers].mean(dim=1), atol=1e-4, rtol=0)


def check_half(network: Callable[[], PreTrainedModel], windows: Sequence[Tensor], layers: Sequence[int]) -> None:
    """Vectors in half precision differ by a twentieth of what windows do, and by no more than transformers' own."""
    exact = Encoder(network()).means(windows, layers)
    ours = Encoder(network().to(HALF)).means(windows, layers)
    theirs = torch.stack([frames[layers].float().mean(dim=1) for frames in own(network().to(HALF), windows)])
    for at in range(len(layers)):
        apart = torch.pdist(exact[:, at]).median()
        off = _error(ours, exact, at)
        assert off <= 0.05 * apart
        assert off <= 1.05 * _error(theirs, exact, at)


def _error(found: Tensor, exact: Tensor, at: int) -> Tensor:
    return (found - exact)[:, at].norm(dim=1).median()
