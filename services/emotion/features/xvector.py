"""Speaker embeddings (x-vectors) of an ONNX file: WeSpeaker's ResNets, and VBx's ResNet101, which the paper used.

What a network was trained with is told by its input: (1, frames, bands) is WeSpeaker's, (1, bands, frames) is VBx's.
Files of pyannote are WeSpeaker's ResNet34 as well, in a format that can hold code: take WeSpeaker's own export.
"""

from collections.abc import Callable, Sequence

import numpy as np
import onnxruntime

from services.emotion.features import fbank
from services.emotion.features.feature import Array, FeatureError
from services.emotion.features.sources import Model, onnx

VERSION = "1"  #: a change of what is computed with the same file is a new number
RATES = (8000, 16_000)

Span = tuple[int, int]  #: the first frame, and the first that is not in it


class XVector:
    """A speaker network as a feature: one embedding a window, computed by itself."""

    name, layers = "xvector", 1

    def __init__(self, model: Model, device: str = "cpu") -> None:
        files = onnx(model)
        self._path = files.folder / files.names[0]
        self.version = f"{VERSION} {files.sha256}"
        self._session = _session(self._path.read_bytes(), device, str(self._path))
        self.rate = self._rate()
        self._recipe, self._bands = self._input()
        self.values = len(self._embedding(_second_of_noise(self.rate)))

    def vectors(self, windows: Sequence[Array]) -> Array:
        """(n, 1, values)."""
        shortest = self.rate // 40
        if any(len(window) < shortest for window in windows):
            raise FeatureError(f"{self.name}: a window under 25 ms has no frame; leave it out")
        return np.array([self._embedding(window) for window in windows], np.float32).reshape(-1, 1, self.values)

    def along(self, samples: Array, cut: Callable[[int], Sequence[Span]]) -> tuple[Sequence[Span], Array]:
        """Windows of one stretch of speech, their frames (of 10 ms) cut as told by how many there are: (n, values).

        As the networks' own recipes have it: VBx takes the floating mean over the stretch, WeSpeaker one a window.
        """
        frames = self._recipe(samples, self.rate, self._bands)
        spans, own_mean = cut(len(frames)), self._recipe is fbank.wespeaker
        pieces = (frames[start:end] - own_mean * frames[start:end].mean(axis=0) for start, end in spans)
        found = np.array([self._embedded(piece) for piece in pieces], np.float32)
        return spans, found.reshape(-1, self.values)

    def _embedding(self, window: Array) -> Array:
        return self._embedded(self._recipe(window, self.rate, self._bands))

    def _embedded(self, frames: Array) -> Array:
        samples = frames[None] if self._recipe is fbank.wespeaker else frames.T[None]
        name, output = self._session.get_inputs()[0].name, self._session.get_outputs()[0].name
        try:
            (found,) = self._session.run([output], {name: np.ascontiguousarray(samples)})
        except Exception as error:  # a file may hold any network
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise FeatureError(f"{self._path}: fails on {len(frames)} frames ({reason}); name another model") from error
        embedding: Array = np.ravel(found)
        return embedding

    def _rate(self) -> int:
        rate = int(self._session.get_modelmeta().custom_metadata_map.get("sample_rate", 16_000))
        if rate not in RATES:
            raise FeatureError(f"{self._path}: made for {rate} Hz; a model for 8000 or 16000 Hz is needed")
        return rate

    def _input(self) -> tuple[fbank.Recipe, int]:
        """How its input is made, and the number of bands: the one size beside the batch's that is fixed."""
        inputs = self._session.get_inputs()
        shape = inputs[0].shape
        if len(inputs) == len(self._session.get_outputs()) == 1 and len(shape) == 3:
            if isinstance(shape[2], int) and not isinstance(shape[1], int):
                return fbank.wespeaker, shape[2]
            if isinstance(shape[1], int) and not isinstance(shape[2], int):
                return fbank.vbx, shape[1]
        wanted = "(1, frames, bands) or (1, bands, frames) with any number of frames"
        raise FeatureError(f"{self._path}: one input {wanted} is needed, not {shape}; export it with dynamic frames")


def _session(content: bytes, device: str, path: str) -> onnxruntime.InferenceSession:
    """The network, from the bytes alone: what an ONNX file may keep in other files is not under its checksum."""
    provider = "CPUExecutionProvider" if device == "cpu" else "CUDAExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        raise FeatureError(f"device {device!r}: this ONNX Runtime has none; choose cpu, or install onnxruntime-gpu")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its errors are this module's messages
    try:
        return onnxruntime.InferenceSession(content, options, [provider])
    except Exception as error:  # a file may hold anything
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise FeatureError(f"{path}: no network that ONNX Runtime can load ({reason}); fetch it again") from error


def _second_of_noise(rate: int) -> Array:
    return np.random.default_rng(0).normal(0, 0.1, rate).astype(np.float32)
