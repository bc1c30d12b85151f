"""Call audio that real voice activity detection hears speech in: slices of the sample calls, put together by seed."""

from functools import cache
from pathlib import Path
from random import Random

import numpy as np

from services.recordings import open_recording, read
from services.standalone.samples import SAMPLES
from streams.speech.decode import Pcm

RATE = 8000
SLICE_MS = (2_500, 14_000)
PAUSE_MS = (100, 1_500)
NOISE = 6  #: a quiet line, in steps of 16 bits


def two_voices(random: Random, duration_ms: int) -> Pcm:
    """Agent and customer, shape (2, samples) at 8 kHz: no two seeds make the same windows."""
    parts: list[Pcm] = []
    while sum(part.shape[1] for part in parts) < _samples(duration_ms):
        parts += [_slice(random), np.zeros((2, _samples(random.randint(*PAUSE_MS))), np.int16)]
    call = np.concatenate(parts, axis=1)[:, : _samples(duration_ms)]
    noise = np.random.default_rng(random.getrandbits(64)).integers(-NOISE, NOISE + 1, call.shape)
    noisy: Pcm = np.clip(call + noise, -32768, 32767).astype(np.int16)
    return noisy


def one_channel(random: Random, duration_ms: int) -> Pcm:
    """Both on one channel, shape (1, samples)."""
    mono: Pcm = (two_voices(random, duration_ms).sum(axis=0, keepdims=True, dtype=np.int32) // 2).astype(np.int16)
    return mono


def _slice(random: Random) -> Pcm:
    source = _sample(random.choice(SAMPLES))
    length = _samples(random.randint(*SLICE_MS))
    start = random.randrange(source.shape[1] - length)
    return source[:, start : start + length]


@cache
def _sample(path: Path) -> Pcm:
    return read(open_recording(path))


def _samples(duration_ms: int) -> int:
    return duration_ms * RATE // 1000
