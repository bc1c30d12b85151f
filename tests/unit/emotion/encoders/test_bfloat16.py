"""The precision of a GPU, on a CPU: against float32, and against transformers in the same precision."""

import numpy as np
import pytest
import torch
from torch import Tensor
from unit.emotion.encoders.conftest import Network, voices

from ops.bench.planted import planted
from services.emotion.encoders.encoder import Encoder
from services.emotion.heads import decisions
from services.training.machines import fit
from streams.domain.schemes import CC_DEBT

HALF = torch.bfloat16
PUBLISHED = [("wav2vec2", "layer", True), ("wav2vec2", "group", False), ("wavlm", "layer", True)]


@pytest.mark.parametrize(("name", "norm", "stable"), PUBLISHED)
def test_vectors_differ_by_a_twentieth_of_what_windows_do_and_by_no_more_than_transformers_own(
    network: Network, name: str, norm: str, stable: bool
) -> None:
    windows = voices([8_000 + 80 * at for at in range(30)])
    exact = Encoder(network(name, norm, stable)).means(windows, range(5))
    ours = Encoder(network(name, norm, stable).to(HALF)).means(windows, range(5))
    half = network(name, norm, stable).to(HALF)
    with torch.no_grad():
        found = [half(window[None].to(HALF), output_hidden_states=True) for window in windows]
    pooled = [[layer.float().mean(1) for layer in (*each.hidden_states[:-1], each.last_hidden_state)] for each in found]
    theirs = torch.stack([torch.cat(layers) for layers in pooled])
    for layer in range(5):
        apart = torch.pdist(exact[:, layer]).median()
        off = error(ours, exact, layer)
        assert off <= 0.05 * apart
        assert off <= 1.05 * error(theirs, exact, layer)


def error(found: Tensor, exact: Tensor, layer: int) -> Tensor:
    return (found - exact)[:, layer].norm(dim=1).median()


def test_six_heads_fitted_on_float32_say_the_same_of_999_in_1000(network: Network) -> None:
    windows, learnt = voices([4_000 + 40 * (at % 50) for at in range(1_100)]), slice(300)
    exact = Encoder(network("wav2vec2")).means(windows, [2])[:, 0].numpy()
    half = Encoder(network("wav2vec2").to(HALF)).means(windows, [2])[:, 0].numpy()
    shifts, wanted = planted(exact, 1)
    heads = fit(CC_DEBT, (exact + shifts)[learnt], {head: classes[learnt] for head, classes in wanted.items()})
    said, again = decisions(heads, (exact + shifts)[300:]), decisions(heads, (half + shifts)[300:])
    same = [said[head].argmax(axis=1) == again[head].argmax(axis=1) for head in wanted]
    assert np.mean(same) >= 0.999
    right = [said[head].argmax(axis=1) == classes[300:] for head, classes in wanted.items()]
    assert np.mean(right) >= 0.9
