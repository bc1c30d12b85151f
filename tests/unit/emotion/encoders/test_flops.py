"""Work executed against work needed, at the published models' own sizes: on torch's device without memory."""

from collections.abc import Callable

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import Wav2Vec2Config, Wav2Vec2Model, WavLMConfig, WavLMModel

from services.emotion.encoders.encoder import Encoder

#: Of two layers: each more brings the ratio closer to 1, as the convolutions alone do more than is needed.
LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 2,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "do_stable_layer_norm": True,
    "feat_extract_norm": "layer",
}
SHAPES = {
    "XLS-R-300M": lambda: Wav2Vec2Model(Wav2Vec2Config(**LARGE, conv_bias=True)),
    "wav2vec 2.0 base": lambda: Wav2Vec2Model(Wav2Vec2Config(num_hidden_layers=2)),
    "WavLM large": lambda: WavLMModel(WavLMConfig(**LARGE)),
}
#: Samples; 2.5 to 20 s, 7.3 s on average.
MIX = [64_079, 40_000, 320_000, 90_003, 70_000]


def counted(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        work()
    return int(counter.get_total_flops())


@pytest.mark.parametrize("shape", SHAPES)
def test_no_more_than_a_twentieth_is_computed_beyond_what_each_window_needs_by_itself(shape: str) -> None:
    with torch.device("meta"):
        network = SHAPES[shape]().eval()
        windows = [torch.empty(length) for length in MIX]
        needed = counted(lambda: [network(window[None]) for window in windows])
        padded = counted(lambda: network(torch.empty(len(MIX), max(MIX))))
        encoder = Encoder(network)
        executed = counted(lambda: encoder.means(windows, [2]))
    assert executed / needed <= 1.05
    assert padded / needed >= 2.5
