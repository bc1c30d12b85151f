"""The kernels of a GPU, run by Triton's interpreter: what they compute, and not how fast."""

import pytest
import torch
from transformers import Wav2Vec2Config
from triton.runtime import interpreter
from unit.emotion.encoders.conftest import KINDS, Network, voices

from services.emotion.encoders import encoder as module
from services.emotion.encoders import readings
from services.emotion.encoders.attention import Alone
from services.emotion.encoders.encoder import Encoder
from services.emotion.encoders.kernels import kernels_for, rows
from services.emotion.encoders.kernels.attention import attention, bias_tiles
from services.emotion.encoders.packing import Geometry, Room, pack
from services.emotion.encoders.relative import Bias

TANH = {"feat_extract_activation": "gelu_new"}  #: as the kernels have it
PUBLISHED = Geometry((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), 64)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _by_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    was = interpreter._patch_lang_tensor

    def patched(tensor: type, scope: interpreter._LangPatchScope) -> None:
        was(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))  # numpy 2.4 makes no int of [3]

    monkeypatch.setattr(interpreter, "_patch_lang_tensor", patched)
    monkeypatch.setattr(module, "kernels_for", lambda _: rows)
    monkeypatch.setattr(module, "Graphs", lambda _: None)


@pytest.mark.parametrize(("name", "norm", "stable"), KINDS)
def test_every_layer_is_that_without_kernels(
    network: Network, monkeypatch: pytest.MonkeyPatch, name: str, norm: str, stable: bool
) -> None:
    windows = voices([2_000, 400, 1_079])
    found = Encoder(network(name, norm, stable, **TANH)).means(windows, range(5))
    monkeypatch.setattr(module, "kernels_for", lambda _: None)
    wanted = Encoder(network(name, norm, stable, **TANH)).means(windows, range(5))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["wav2vec2", "wavlm"])
def test_what_is_no_number_stays_in_its_window(network: Network, name: str) -> None:
    encoder, windows = Encoder(network(name, **TANH)), voices([1_000, 700, 1_079])
    wanted = encoder.means(windows, range(5))
    windows[1][100] = torch.nan
    found = encoder.means(windows, range(5))
    assert found[1, -1].isnan().all()
    torch.testing.assert_close(found[[0, 2]], wanted[[0, 2]], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["wav2vec2", "wavlm"])
def test_there_is_place_for_windows_of_nothing(network: Network, name: str) -> None:
    encoder, windows = Encoder(network(name, **TANH)), voices([1_000, 700])
    packed = pack(encoder.geometry, [1_000, 700], CPU, Room(slots=9, windows=5))
    found = readings.means(encoder.states(encoder._stream(windows, packed, encoder.ready), packed), packed, range(5))
    torch.testing.assert_close(found, encoder.means(windows, range(5)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("biased", [False, True])
def test_attention_is_that_of_each_window_alone(network: Network, biased: bool) -> None:
    packed = pack(PUBLISHED, [320 * 130 + 80, 400, 320 * 65 + 80], CPU)  # of 130 frames, 1 and 65
    bias = Bias(network("wavlm").encoder.layers[0].attention) if biased else None
    torch.manual_seed(1)
    together, gate = torch.randn(packed.frames, 3 * 32), 2 * torch.rand(packed.frames, 2) if biased else None
    biases = None if bias is None else bias_tiles(bias.table)
    found = attention(together, packed, 2, biases, gate)
    torch.testing.assert_close(found, Alone(2, bias).over(packed)(together, gate), atol=1e-5, rtol=0)


def test_there_are_none_on_a_processor(network: Network) -> None:
    assert kernels_for(network("wav2vec2").to(torch.bfloat16)) is None
    assert Wav2Vec2Config().hidden_act == "gelu"  # as the published models have it
