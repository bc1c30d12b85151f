"""The precision of a GPU, on a CPU: against float32, and against transformers in the same precision."""

import numpy as np
import pytest
from unit.emotion.encoders.conftest import Network, voices
from unit.emotion.encoders.theirs import HALF, check_half

from ops.bench.planted import planted
from services.emotion.encoders.encoder import Encoder
from services.emotion.heads import decisions
from services.training.machines import fit
from streams.domain.schemes import CC_DEBT

PUBLISHED = [("wav2vec2", "layer", True), ("wav2vec2", "group", False), ("wavlm", "layer", True)]


@pytest.mark.parametrize(("name", "norm", "stable"), PUBLISHED)
def test_vectors_differ_by_a_twentieth_of_what_windows_do_and_by_no_more_than_transformers_own(
    network: Network, name: str, norm: str, stable: bool
) -> None:
    check_half(lambda: network(name, norm, stable), voices([8_000 + 80 * at for at in range(30)]), range(5))


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
