"""wav2vec 2.0 XLS-R (Babu et al., Interspeech 2022) and WavLM (Chen et al., IEEE JSTSP 16, 2022).

Every hidden layer is given, the encoder's input included, as frames of 20 ms or their mean over the window's own. The
encoder is frozen. Windows are batched by length; a window's padding is never seen: it is masked, and a network whose
first convolution is normalised over time (`feat_extract_norm` "group"), which a mask does not reach, gets no padding.
"""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model, WavLMModel

from services.emotion.features.feature import Array, FeatureError
from services.emotion.features.pretrained import load, part
from services.emotion.features.sources import Model, pretrained

NETWORKS = {"wav2vec2": Wav2Vec2Model, "wavlm": WavLMModel}
VERSION = "1"  #: a change of what is computed with the same files is a new number
BATCH_S = 60  #: seconds of audio, padding included, that the encoder is given at once


class SelfSupervised:
    """A self-supervised encoder as a feature, frame by frame or pooled."""

    def __init__(self, name: str, model: Model, device: str = "cpu") -> None:
        files = pretrained(model)
        self.name = name
        self.version = f"{VERSION} {files.sha256}"
        self.network = load(NETWORKS[name], files, device)
        self._prepare = part(Wav2Vec2FeatureExtractor, files)
        self.rate = int(self._prepare.sampling_rate)
        self.layers = int(self.network.config.num_hidden_layers) + 1
        self.values = int(self.network.config.hidden_size)

    def vectors(self, windows: Sequence[Array]) -> Array:
        """(n, layers, values): means over each window's own frames."""
        found = np.empty((len(windows), self.layers, self.values), np.float32)
        for at, frames in self.hidden(windows):
            found[at] = frames.mean(dim=1).cpu().numpy()
        return found

    def frames(self, windows: Sequence[Array]) -> list[Array]:
        """(layers, frames, values) of each window."""
        found = {at: frames.cpu().numpy() for at, frames in self.hidden(windows)}
        return [found[at] for at in range(len(windows))]

    def hidden(self, windows: Sequence[Array]) -> Iterator[tuple[int, torch.Tensor]]:
        """Index and (layers, frames, values) of each window, on the network's device, in the order of their lengths."""
        counts = [self._count(window) for window in windows]
        for batch in _batches([len(window) for window in windows], self._padded, BATCH_S * self.rate):
            layers = self._forward([windows[at] for at in batch])
            for row, at in enumerate(batch):
                yield at, torch.stack([layer[row, : counts[at]] for layer in layers])

    @property
    def _padded(self) -> bool:
        return bool(self.network.config.feat_extract_norm == "layer")

    def _count(self, window: Array) -> int:
        count = int(self.network._get_feat_extract_output_lengths(len(window)))  # noqa: SLF001 - it has no other name
        if count < 1:
            raise FeatureError(
                f"{self.name}: a window of {len(window)} samples is shorter than one frame; leave it out"
            )
        return count

    @torch.inference_mode()
    def _forward(self, windows: Sequence[Array]) -> tuple[torch.Tensor, ...]:
        """(n, frames, values) of each layer, the last as the encoder gives it."""
        prepared = [self._prepare(window, sampling_rate=self.rate).input_values[0] for window in windows]
        samples = torch.zeros(len(windows), max(map(len, windows)))
        mask = torch.zeros(samples.shape, dtype=torch.long)
        for row, values in enumerate(prepared):
            samples[row, : len(values)] = torch.from_numpy(values)
            mask[row, : len(values)] = 1
        device = self.network.device
        tf32 = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)  # else float32 has ten bits on a GPU
        with tf32, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")  # WavLM's own two masks
            found = self.network(
                samples.to(device), attention_mask=mask.to(device) if self._padded else None, output_hidden_states=True
            )
        # Before its final norm, as transformers 5 lists it, the last layer is not what the encoder was trained to give.
        last = found.last_hidden_state if self.network.adapter is None else found.hidden_states[-1]
        return (*found.hidden_states[:-1], last)


def _batches(lengths: Sequence[int], padded: bool, budget: int) -> Iterator[list[int]]:
    """Indices by length, as many together as the budget of samples allows; of equal lengths alone if not `padded`."""
    batch: list[int] = []
    for at in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        full = (len(batch) + 1) * lengths[at] > budget
        if batch and (full or (not padded and lengths[at] != lengths[batch[0]])):
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch
