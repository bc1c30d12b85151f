"""How likely each 32 ms frame holds speech: Silero VAD v5 over many channels of many calls at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from streams.domain.overlap import FRAME_MS
from streams.speech.levels import levels
from streams.speech.silero import WIDTH, Network

CONTEXT_MS = 4  #: what the model sees of the time before a frame

START = bytes(2 * WIDTH * 4)  #: the state at a channel's start

Samples = NDArray[np.int16]  #: one channel, shape (samples,)


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
    """A stretch as heard: a speech probability and an energy (sum of squared samples) each frame.

    `levels` are the powers of each frame's 16 bands, a byte each (`streams/speech/levels.py`).
    """

    probability: tuple[float, ...]
    energy: tuple[int, ...]
    state: bytes = field(repr=False)  #: after the last frame
    levels: bytes = field(default=b"", repr=False)


class VoiceActivity:
    """The model. Pure: a channel's result is the same to the bit, whatever else is in the batch.

    One thread each, for its products are small; `hear` releases the GIL for most of its time.
    """

    def __init__(self) -> None:
        self._blas = ThreadpoolController().select(user_api="blas")
        with self._blas.limit(limits=1):
            self._networks = {rate: Network(rate) for rate in (8000, 16000)}

    def hear(self, rate: int, stretches: Sequence[Stretch]) -> list[Activity]:
        """Judge every frame of every stretch: features of all frames at once, then frame by frame over all channels."""
        with self._blas.limit(limits=1):
            return self._hear(rate, stretches)

    def _hear(self, rate: int, stretches: Sequence[Stretch]) -> list[Activity]:
        size, network = frame_samples(rate), self._networks[rate]
        counts = [len(stretch.frames) // size for stretch in stretches]
        order = sorted(range(len(stretches)), key=lambda n: -counts[n])  # those that end first stand last
        inputs = _inputs(rate, [stretches[n] for n in order])
        features, energies = network.features(inputs), _energies(inputs[:, -size:])
        lengths = np.array([counts[n] for n in order], np.int64)
        firsts = np.concatenate(([0], lengths.cumsum()))
        states = np.frombuffer(b"".join(stretches[n].state for n in order), np.float32).reshape(-1, 2 * WIDTH).copy()
        probabilities = np.zeros((len(stretches), max(counts, default=0)), np.float32)
        for frame in range(probabilities.shape[1]):
            alive = int((lengths > frame).sum())
            heard = features[firsts[:alive] + frame, :WIDTH]
            probabilities[:alive, frame], states[:alive] = network.judge(heard, states[:alive])
        loud, found = levels(features[:, WIDTH:]), dict[int, Activity]()
        for row, n in enumerate(order):
            probability = tuple(probabilities[row, : counts[n]].tolist())
            own = slice(firsts[row], firsts[row + 1])
            found[n] = Activity(probability, tuple(energies[own]), states[row].tobytes(), loud[own].tobytes())
        return [found[n] for n in range(len(stretches))]


def _inputs(rate: int, stretches: Sequence[Stretch]) -> NDArray[np.int16]:
    """Each frame with the context before it, stretch by stretch: (frames, context + frame)."""
    size, context = frame_samples(rate), context_samples(rate)
    counts = [len(stretch.frames) // size for stretch in stretches]
    inputs, start = np.empty((sum(counts), context + size), np.int16), 0
    for stretch, count in zip(stretches, counts, strict=True):
        frames, rows = stretch.frames.reshape(count, size), inputs[start : start + count]
        if count:
            rows[:, context:] = frames
            rows[0, :context] = stretch.context
            rows[1:, :context] = frames[:-1, -context:]
        start += count
    return inputs


def _energies(frames: NDArray[np.int16]) -> list[int]:
    """Sum of squared samples of each frame, (frames, size): exact, for it decides where a turn is cut."""
    wide = frames.astype(np.float64)  # sums are under 2 ** 53, and so exact in any order
    energies: list[int] = np.einsum("fs,fs->f", wide, wide).astype(np.int64).tolist()
    return energies
