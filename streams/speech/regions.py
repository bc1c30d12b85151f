"""Where one channel of a whole recording holds speech, by voice activity."""

import numpy as np

from streams.domain import overlap
from streams.domain.overlap import FRAME_MS, Frame
from streams.speech.activity import Samples, Stretch, VoiceActivity, context_samples, frame_samples

JOINED_MS = 300  #: silence under which speech on both sides is one region

Region = tuple[int, int]  #: start and end in ms


def regions(model: VoiceActivity, rate: int, samples: Samples) -> list[Region]:
    """Regions of speech of `samples` at `rate` Hz (8000 or 16000), in order; the last one ends by the end of them."""
    size = frame_samples(rate)
    whole = np.pad(samples, (0, -len(samples) % size))
    (heard,) = model.hear(rate, [Stretch(whole, np.zeros(context_samples(rate), np.int16))])
    end_ms = len(samples) * 1000 // rate
    return [(start, min(end, end_ms)) for start, end in _spoken(heard.probability) if start < end_ms]


def _spoken(probabilities: tuple[float, ...]) -> list[Region]:
    floor, found = overlap.silent(1), list[Region]()
    for index, probability in enumerate(probabilities):
        start, end = index * FRAME_MS, (index + 1) * FRAME_MS
        floor, _ = overlap.step(floor, Frame(start, end, (probability,), (0,)))
        if not floor.speaking[0]:
            continue
        if found and start - found[-1][1] < JOINED_MS:
            start = found.pop()[0]
        found.append((start, end))
    return found
