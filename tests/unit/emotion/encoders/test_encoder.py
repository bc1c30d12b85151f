import weakref
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from unit.emotion.encoders.conftest import KINDS, Network, voices
from unit.emotion.encoders.theirs import check_own, own

from services.emotion.encoders import encoder as module
from services.emotion.encoders.encoder import Encoder
from services.emotion.encoders.packing import Pack

#: 2.5 to 20 s, and the shortest window that there is.
LENGTHS = [40_000, 320_000, 400, 116_801, 64_079, 40_000]


@pytest.mark.parametrize(("name", "norm", "stable"), KINDS)
def test_every_layer_is_transformers_own_for_windows_of_any_lengths_at_once(
    network: Network, monkeypatch: pytest.MonkeyPatch, name: str, norm: str, stable: bool
) -> None:
    monkeypatch.setattr(module, "PACK_S", 60)  # all in one pack
    windows = voices(LENGTHS)
    wanted = own(network(name, norm, stable), windows)
    check_own(Encoder(network(name, norm, stable)), windows, wanted, range(5))


@pytest.mark.parametrize("name", ["wav2vec2", "wavlm"])
def test_the_weighed_sum_of_layers_is_that_of_transformers_layers(network: Network, name: str) -> None:
    windows, weights = voices([40_000, 64_079]), torch.tensor([[0.1, 0.3, 0.2, 0.1, 0.3], [0, 0, 1, 0, 0]])
    mixed = Encoder(network(name)).mixed(windows, weights)
    for found, theirs in zip(mixed, own(network(name), windows), strict=True):
        torch.testing.assert_close(found, torch.einsum("sl,ltv->stv", weights, theirs), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("name", "norm", "stable"), KINDS)
def test_a_windows_neighbours_change_nothing(network: Network, name: str, norm: str, stable: bool) -> None:
    encoder, windows = Encoder(network(name, norm, stable)), voices([8_000, 400, 24_079])
    alone = torch.cat([encoder.means([window], range(5)) for window in windows])
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0]):
        found = encoder.means([windows[at] for at in order], range(5))
        torch.testing.assert_close(found, alone[order], atol=1e-5, rtol=0)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize(("name", "norm", "stable"), KINDS)
def test_what_is_no_number_stays_in_its_window(
    network: Network, name: str, norm: str, stable: bool, bad: float
) -> None:
    encoder, windows = Encoder(network(name, norm, stable)), voices([8_000, 8_079, 24_079])
    sound = encoder.means(windows, range(5))
    windows[1] = windows[1].clone()
    windows[1][[0, -80]] = bad  # in the first frame and in the last
    found = encoder.means(windows, range(5))
    assert not found[1, 1:].isfinite().any()
    torch.testing.assert_close(found[[0, 2]], sound[[0, 2]], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["wav2vec2", "wavlm"])
def test_no_layer_is_computed_after_the_last_that_is_asked_for(network: Network, name: str) -> None:
    encoder, ran = Encoder(network(name)), list[int]()
    for at, layer in enumerate(encoder.layers, 1):
        layer.register_forward_hook(lambda *_, at=at: ran.append(at))
    for layers, needed in (([0], []), ([2], [1, 2]), ([3, 1], [1, 2, 3]), ([4], [1, 2, 3, 4])):
        encoder.means(voices([8_000, 400]), layers)
        assert ran == needed
        ran.clear()


def test_layers_after_the_exit_are_forgotten_and_the_others_stay(network: Network) -> None:
    encoder, windows = Encoder(network("wavlm")), voices([8_000])
    every, forgotten = encoder.means(windows, range(5)), weakref.ref(encoder.layers[2].up.weight)
    encoder.exit_at(2)
    assert forgotten() is None
    assert torch.equal(encoder.means(windows, range(encoder.last + 1)), every[:, :3])


def test_as_many_hidden_layers_are_held_for_the_means_of_all_as_for_those_of_one(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, held, states = Encoder(network("wav2vec2")), list[int](), Encoder.states

    def watched(self: Encoder, samples: Tensor, packed: Pack) -> Iterator[Tensor]:
        seen: list[weakref.ref[Tensor]] = []
        for state in states(self, samples, packed):
            seen.append(weakref.ref(state))
            held.append(sum(each() is not None for each in seen))
            yield state

    monkeypatch.setattr(Encoder, "states", watched)
    windows, most = voices([8_000]), []
    for read in (
        lambda: encoder.means(windows, [4]),
        lambda: encoder.means(windows, range(5)),
        lambda: list(encoder.mixed(windows, torch.ones(3, 5))),
    ):
        read()
        most.append(max(held))
        held.clear()
    assert most == [2, 2, 2]
