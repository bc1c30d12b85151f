"""Recorded runs, by a stand-in for what a GPU records: which are made, and when one may be replayed."""

import weakref

import pytest
import torch
from torch import Tensor
from unit.emotion.encoders.conftest import Network, voices

from services.emotion.encoders import graphs as module
from services.emotion.encoders.encoder import Encoder
from services.emotion.encoders.graphs import Graphs, Run
from services.emotion.encoders.packing import Pack


@pytest.fixture
def recordings(monkeypatch: pytest.MonkeyPatch, network: Network) -> tuple[Encoder, list[object]]:
    """An encoder that records its runs, and a list of these."""
    encoder, made = Encoder(network("wav2vec2")), list[object]()

    class Recorded:
        """Knows, as a graph does, where the weights lay, and does not keep them."""

        def __init__(self, _stream: Tensor, _packed: Pack, run: Run, _memory: object) -> None:
            self._run, self._layers = run, [weakref.ref(layer) for layer in encoder.layers[:3]]
            made.append(self)

        def replay(self, stream: Tensor, packed: Pack) -> Tensor:
            assert all(layer() is not None for layer in self._layers), "replayed over memory that is another's by now"
            return self._run(stream, packed)

    monkeypatch.setattr(module, "Graph", Recorded)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", object)
    encoder.graphs = Graphs(encoder.geometry)
    return encoder, made


def test_a_run_is_recorded_once_for_its_room_and_layers(recordings: tuple[Encoder, list[object]]) -> None:
    encoder, made = recordings
    windows = voices([8_000, 8_079])
    for layers, count in (([3], 1), ([3], 1), ([1], 2), ([3], 2), ([0], 3), ([0], 3)):
        encoder.means(windows, layers)
        assert len(made) == count


def test_no_run_is_replayed_over_layers_that_were_forgotten_and_taken_back(
    recordings: tuple[Encoder, list[object]], network: Network
) -> None:
    encoder, made = recordings
    windows = voices([8_000, 8_079])
    wanted = encoder.means(windows, [3])

    encoder.exit_at(1)
    encoder.deepen(Encoder(network("wav2vec2")))

    torch.testing.assert_close(encoder.means(windows, [3]), wanted)
    assert len(made) == 2
