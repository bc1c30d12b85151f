"""Who speaks when in the last seconds of a channel: pyannote's powerset segmentation (Plaquet and Bredin 2023).

The network knows nothing of a call but its window: whom it calls the first here is not whom it calls so elsewhere.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from streams.domain.overlap import FRAME_MS
from streams.domain.pieces import LATENCY_MS
from streams.speech import pyannote_models
from streams.speech.activity import Samples
from streams.speech.products import Floats
from streams.speech.pyannote_models import ModelError, Network
from streams.speech.resample import resample

_FULL_SCALE = np.float32(32768)


class Segmentation(Protocol):
    """Hears windows of one length."""

    @property
    def window_ms(self) -> int:
        """How long the windows are."""

    def hear(self, rate: int, windows: Sequence[Samples]) -> list[tuple[int, ...]]:
        """For every whole frame of each window, up to its end, a number with a bit for each who speaks: 0 is silence.

        A window's numbers are the same, whatever else is in the batch.
        """


class NetworkSegmentation:
    """The network that `source` names. Raises ModelError."""

    def __init__(self, source: str) -> None:
        model = pyannote_models.load(source, pyannote_models.located(source))
        told = model.specifications
        if not getattr(told, "powerset", False) or told.resolution.name != "FRAME":
            raise ModelError(f"{source}: is no powerset segmentation; name one, such as pyannote/segmentation-3.0's")
        self.window_ms = round(told.duration * 1000)
        if self.window_ms < LATENCY_MS:
            said = (
                f"hears windows of {self.window_ms} ms, which is too short; name one that hears {LATENCY_MS} ms or more"
            )
            raise ModelError(f"{source}: {said}")
        self._rate = int(model.hparams.sample_rate)
        self._samples = self.window_ms * self._rate // 1000
        self._network = Network(model, self._samples)
        self._who, self._nearest = _who(told), self._nearest_output(model)

    def hear(self, rate: int, windows: Sequence[Samples]) -> list[tuple[int, ...]]:
        """See `Segmentation`."""
        scaled = [window[np.newaxis].astype(np.float32) / _FULL_SCALE for window in windows]
        rows = [np.resize(resample(each, rate, self._rate)[0], self._samples) for each in scaled]
        likeliest = self._network(np.stack(rows)).argmax(axis=2)[:, self._nearest]
        return [tuple(row) for row in self._who[likeliest].tolist()]

    def _nearest_output(self, model: Any) -> NDArray[np.int64]:  # noqa: ANN401 - as `load` gives it
        """Of each frame of ours, counted from the window's end, the output whose middle is nearest to its own."""
        frames = model.receptive_field
        size = self._rate * FRAME_MS // 1000
        middles = np.arange(self._samples % size + size // 2, self._samples, size) / self._rate
        outputs = np.rint((middles - frames.start - frames.duration / 2) / frames.step)
        nearest: NDArray[np.int64] = np.clip(outputs, 0, model.num_frames(self._samples) - 1).astype(np.int64)
        return nearest


def _who(told: Any) -> NDArray[np.int64]:  # noqa: ANN401 - pyannote ships no types
    """The number of each of a network's classes, which are sets of speakers."""
    from pyannote.audio.utils.powerset import Powerset  # noqa: PLC0415 - not before it is told to be silent

    sets: Floats = Powerset(len(told.classes), told.powerset_max_classes).mapping.numpy()
    numbers: NDArray[np.int64] = (sets @ 2 ** np.arange(sets.shape[1])).astype(np.int64)
    return numbers
