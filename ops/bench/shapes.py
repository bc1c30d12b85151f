"""The published encoders' shapes with random weights, and windows of the paper's lengths."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from rows import BASE, WAVLM, XLSR
from torch import Tensor
from transformers import Wav2Vec2Config, Wav2Vec2Model, WavLMConfig, WavLMModel

RATE = 16_000
SHORTEST_S, LONGEST_S, MEAN_S = 2.5, 20.0, 7.3
SEED = 5
LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "do_stable_layer_norm": True,
    "feat_extract_norm": "layer",
}
SHAPES: dict[str, Callable[[], Any]] = {
    XLSR: lambda: Wav2Vec2Model(Wav2Vec2Config(**LARGE, conv_bias=True)),
    BASE: lambda: Wav2Vec2Model(Wav2Vec2Config()),
    WAVLM: lambda: WavLMModel(WavLMConfig(**LARGE)),
}


def network(shape: str) -> Any:  # noqa: ANN401 - transformers is not typed
    """The network of a shape, the same weights each time."""
    torch.manual_seed(SEED)
    return SHAPES[shape]().eval()


def windows(count: int, seed: int = SEED) -> list[Tensor]:
    """Normalised windows of 2.5 to 20 s, 7.3 s on average: tones with a pitch, a tilt and a rhythm of their own."""
    random = np.random.default_rng(seed)
    seconds = np.minimum(SHORTEST_S + random.exponential(MEAN_S - SHORTEST_S + 0.15, count), LONGEST_S)
    return [_window(int(each * RATE), random) for each in seconds]


def _window(length: int, random: np.random.Generator) -> Tensor:
    time = np.arange(length) / RATE
    pitch, tilt, rhythm = random.uniform(80, 300), random.uniform(0.5, 2), random.uniform(2, 6)
    tone = sum(np.sin(2 * np.pi * pitch * n * time) / n**tilt for n in range(1, 12))
    sound = tone * (0.1 + np.sin(np.pi * rhythm * time) ** 2) + random.normal(0, 0.1, length)
    return torch.from_numpy(((sound - sound.mean()) / sound.std()).astype(np.float32))


def seconds_of(some: Sequence[Tensor]) -> float:
    """How much audio they are."""
    return sum(map(len, some)) / RATE


def padded(some: Sequence[Tensor], batch: int, device: str, dtype: torch.dtype) -> Iterator[tuple[Tensor, Tensor]]:
    """Samples and mask, (batch, longest), in arrival order: what transformers' processor makes of them."""
    for start in range(0, len(some), batch):
        part = some[start : start + batch]
        samples = torch.nn.utils.rnn.pad_sequence(list(part), batch_first=True)
        lengths = torch.tensor([len(each) for each in part])
        mask = torch.arange(samples.shape[1]) < lengths[:, None]
        yield samples.to(device, dtype), mask.long().to(device)


@torch.no_grad()
def theirs(model: Any, some: Sequence[Tensor], batch: int, layers: Sequence[int] | None = None) -> Tensor:  # noqa: ANN401 - as above
    """(n, layers, values): transformers' own means in padded batches, of all hidden layers or of these.

    Without a mask for a network with group norm, as its processor gives it none.
    """
    found = []
    masked = model.config.feat_extract_norm == "layer"
    for samples, mask in padded(some, batch, model.device, model.dtype):
        every = model(samples, attention_mask=mask if masked else None, output_hidden_states=True)
        states = (*every.hidden_states[:-1], every.last_hidden_state)
        own = model._get_feat_extract_output_lengths(mask.sum(1))  # noqa: SLF001 - it has no other name
        inside = torch.arange(states[0].shape[1], device=samples.device) < own[:, None]
        wanted = states if layers is None else [states[layer] for layer in layers]
        found.append(torch.stack([_means(state, inside, own) for state in wanted], dim=1))
    return torch.cat(found)


def _means(state: Tensor, inside: Tensor, own: Tensor) -> Tensor:
    return state.float().masked_fill(~inside[:, :, None], 0).sum(dim=1) / own[:, None]
