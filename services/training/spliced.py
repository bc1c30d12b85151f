"""Calls spliced from a corpus of single utterances, to see what a rule does to whole calls of unheard speakers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from services.emotion.abstention import Band
from services.emotion.features.functionals import RATE
from services.training.audio import heard
from services.training.corpora.corpus import Segment

Audio = NDArray[np.float32]  #: shape (samples,), 8 kHz, full scale 1

TURN_S = 3.5  #: a turn is filled with utterances until it is this long
TURNS = 4
PAUSE_S = 0.15  #: between utterances of a turn, shorter than what ends it
SILENCE_S = 1.0  #: between turns
NOISE = 3e-4  #: standard deviation of the line's noise, about -70 dB


def splice(
    path: Path, recordings: Path, customer: Sequence[Segment], agent: Sequence[Segment], rng: np.random.Generator
) -> None:
    """Write a call as an 8 kHz mu-law WAV, channel 0 the agent, channel 1 the customer.

    Customer and agent take turns, the customer `TURNS` of them, each of utterances drawn without replacement as
    long as there are any.
    """
    voices = (_turns(recordings, agent, rng), _turns(recordings, customer, rng))
    call: list[NDArray[np.float32]] = []
    for pair in zip(*voices, strict=True):
        for channel, turn in enumerate(pair):
            both = np.zeros((2, len(turn)), np.float32)
            both[channel] = turn
            call += [both, np.zeros((2, int(SILENCE_S * RATE)), np.float32)]
    samples = np.concatenate(call, axis=1)
    samples += rng.normal(0, NOISE, samples.shape).astype(np.float32)
    soundfile.write(path, samples.T, RATE, subtype="ULAW")


def _turns(recordings: Path, segments: Sequence[Segment], rng: np.random.Generator) -> list[Audio]:
    drawn: list[Segment] = []
    turns: list[Audio] = []
    for _ in range(TURNS):
        turn: list[Audio] = []
        while sum(map(len, turn)) < TURN_S * RATE:
            if not drawn:
                drawn = [segments[index] for index in rng.permutation(len(segments))]
            turn += [heard(recordings, drawn.pop(), RATE, Band.TELEPHONE), np.zeros(int(PAUSE_S * RATE), np.float32)]
        turns.append(np.concatenate(turn[:-1]))
    return turns
