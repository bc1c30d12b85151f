"""wav2vec 2.0 XLS-R (Babu et al., Interspeech 2022) and WavLM (Chen et al., IEEE JSTSP 16, 2022).

Every hidden layer is given, the encoder's input included, as frames of 20 ms or their mean over the window's own; or
those alone that are asked for, and then no later layer is computed. The encoder is frozen, and runs in float32 on a
CPU, unless half of that is asked for, and in bfloat16 on a GPU. Windows lie one after the other, without padding, and
see nothing of each other.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model, WavLMModel

from services.emotion.encoders.audio import Recorded
from services.emotion.encoders.encoder import Encoder
from services.emotion.encoders.shared import reader
from services.emotion.features.feature import Array, FeatureError
from services.emotion.features.pretrained import load, part
from services.emotion.features.sources import Model, pretrained

NETWORKS = {"wav2vec2": Wav2Vec2Model, "wavlm": WavLMModel}
VERSION = "1"  #: a change of what is computed with the same files is a new number


class SelfSupervised:
    """A self-supervised encoder as a feature, frame by frame or pooled."""

    def __init__(self, name: str, model: Model, device: str = "cpu", *, half: bool = False) -> None:
        files = pretrained(model)
        self.name = name
        self.version = f"{VERSION} {files.sha256}"

        def opened() -> Encoder:
            network = load(NETWORKS[name], files, device)
            return Encoder(network.to(torch.bfloat16) if half or network.device.type == "cuda" else network)

        self._reader = reader((name, files.sha256, device, half), opened)
        prepared = part(Wav2Vec2FeatureExtractor, files)
        self.rate, self._normalised = int(prepared.sampling_rate), bool(prepared.do_normalize)
        self.layers = self.encoder.whole + 1
        self.values = self.encoder.values

    @property
    def encoder(self) -> Encoder:
        """Whose layers these are. Features of the same files share it."""
        return self._reader.encoder

    def exit_at(self, layer: int) -> None:
        """Give no layer after hidden layer `layer` from now on; those that nobody else gives are forgotten."""
        self._reader.exit_at(layer)

    def warm(self, layers: Sequence[int] | None = None) -> None:
        """Do now what a GPU would do when vectors of these layers are first asked for."""
        self.encoder.warm(self._wanted(layers))

    def vectors(self, windows: Sequence[Array], layers: Sequence[int] | None = None, rate: int | None = None) -> Array:
        """(n, layers, values): means over each window's own frames, of all layers or in the order asked for.

        Windows are at the feature's rate, or at one of which that is a multiple.
        """
        audio = Recorded(rate or self.rate, self.rate, self._normalised)
        return self.encoder.means(self._long_enough(windows, audio), self._wanted(layers), audio).cpu().numpy()

    def frames(self, windows: Sequence[Array]) -> list[Array]:
        """(layers, frames, values) of each window."""
        return [frames.cpu().numpy() for _, frames in self.hidden(windows)]

    def hidden(self, windows: Sequence[Array]) -> Iterator[tuple[int, Tensor]]:
        """Index and the same frames of each window, on the encoder's device."""
        audio = Recorded(self.rate, self.rate, self._normalised)
        every = self.encoder.hidden(self._long_enough(windows, audio), audio)
        yield from enumerate(frames[: self._reader.last + 1] for frames in every)

    def mixed(self, windows: Sequence[Array], weights: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Index and (sums, frames, values) of each window: sums of its layers by `weights`, (sums, layers)."""
        audio = Recorded(self.rate, self.rate, self._normalised)
        yield from enumerate(self.encoder.mixed(self._long_enough(windows, audio), weights, audio))

    def _wanted(self, layers: Sequence[int] | None) -> Sequence[int]:
        return range(self._reader.last + 1) if layers is None else layers

    def _long_enough(self, windows: Sequence[Array], audio: Recorded) -> list[Tensor]:
        for window in windows:
            if self.encoder.geometry.frames(np.array(audio.factor * len(window))) < 1:
                raise FeatureError(
                    f"{self.name}: a window of {len(window)} samples is shorter than one frame; leave it out"
                )
        return [torch.tensor(window) for window in windows]
