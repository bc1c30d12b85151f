"""The published models' own size, with random weights: lengths, orders and precisions as a service has them."""

import os
from collections.abc import Iterator

import pytest
import torch
from unit.emotion.encoders.conftest import voices
from unit.emotion.encoders.theirs import check_half, check_own, own

from ops.bench.shapes import WAVLM, XLSR, network
from services.emotion.encoders import encoder as module
from services.emotion.encoders.encoder import Encoder

LAYERS = [0, 12, 24]
#: Samples: 2.5 to 20 s; of WavLM's, whose layers differ in the attention alone, fewer.
MIXED = {XLSR: [56_079, 320_000, 40_000], WAVLM: [56_079, 40_000]}
SHORT = [40_000, 56_079, 50_003]  #: not every processor computes in half precision by itself


@pytest.fixture(autouse=True, scope="module")
def _every_core() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("shape", MIXED)
def test_layers_0_12_and_24_are_transformers_own_whatever_the_order_of_windows(
    monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    monkeypatch.setattr(module, "PACK_S", 60)  # all in one pack
    windows, model = voices(MIXED[shape]), network(shape)
    wanted = own(model, windows)
    encoder = Encoder(model)
    check_own(encoder, windows, wanted, LAYERS)
    again = encoder.means(windows[::-1], LAYERS)
    means = torch.stack([frames[LAYERS].mean(dim=1) for frames in wanted])
    torch.testing.assert_close(again, means.flip(0), atol=1e-4, rtol=0)


def test_vectors_in_half_precision_are_close_and_no_worse_than_transformers_own() -> None:
    check_half(lambda: network(XLSR), voices(SHORT), LAYERS)
