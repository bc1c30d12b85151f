"""Two-party telephone calls on one channel, made of recordings of known speakers, and who speaks when in them."""

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from services.recordings import open_recording, read
from streams.domain.records import Audio, Encoding
from streams.speech.decode import decode, encode
from streams.speech.resample import resample, to_pcm

RATE = 8000
GREETING_S = 4  #: for which the agent speaks first, at least
_TICK = RATE // 100  #: who speaks is known by 10 ms
_LOUD_DB = 30  #: below the loud parts of an utterance its speaker is silent

Floats = NDArray[np.float32]
Ticks = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Utterance:
    """What somebody says without a break: samples, -1 to 1, and in which 10 ms of them there is speech."""

    samples: Floats
    spoken: Ticks
    manner: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One channel as a recorder would have it, and in which 10 ms each party speaks."""

    pcm: NDArray[np.int16]
    agent: Ticks
    customer: Ticks
    overlap: float  #: of the time in which somebody speaks


def emodb(folder: Path) -> dict[str, list[Utterance]]:
    """EmoDB's utterances by speaker, as 8 kHz."""
    said: dict[str, list[Utterance]] = defaultdict(list)
    for row in csv.DictReader((folder / "labels.csv").read_text().splitlines()):
        samples, rate = soundfile.read(folder / row["path"], dtype="float32")
        said[row["speaker"]].append(_utterance(resample(samples[np.newaxis], rate, RATE)[0], row["label"]))
    return dict(said)


def sexes(folder: Path) -> dict[str, str]:
    """Sex by EmoDB's speaker."""
    return {row["speaker"]: row["sex"] for row in csv.DictReader((folder / "labels.csv").read_text().splitlines())}


def channels(folder: Path) -> dict[str, list[Utterance]]:
    """The channels of calls8k that hold one speaker, cut at their pauses."""
    both = read(open_recording(folder / "aws_auto_repairs_40_2ch.wav")) / np.float32(32768)
    alone = read(open_recording(folder / "unreferenced_lca_agent1.wav")) / np.float32(32768)
    return {name: _cut(channel) for name, channel in zip(("agent", "caller", "other"), (*both, alone[0]), strict=True)}


def make(
    agent: Sequence[Utterance], customer: Sequence[Utterance], rng: np.random.Generator, *, turns: int = 24
) -> Call:
    """A call in which the agent speaks first; nothing is said twice.

    A turn is one to three utterances. The parties may differ in loudness by 6 dB; in half of the calls they differ in
    their lines besides. They overlap where turns change, for 0 to 20 % of the speech, as the call is drawn.
    """
    wanted, at = float(rng.uniform(0, 0.2)), RATE // 2
    left = [[said[index] for index in rng.permutation(len(said))] for said in (agent, customer)]
    lines = [_line(rng, plain=plain) for plain in [bool(rng.integers(2))] * 2]
    tracks: list[list[tuple[int, Utterance]]] = [[], []]
    for turn in range(turns):
        party = turn % 2
        said = [left[party].pop() for _ in range(min(len(left[party]), int(rng.integers(1, 4))))]
        while not turn and sum(len(each.samples) for each in said) < GREETING_S * RATE:
            said.append(left[party].pop())
        if not said:
            break
        begins = at
        for utterance in said:
            tracks[party].append((begins, utterance))
            begins += len(utterance.samples) + int(rng.uniform(0.1, 0.4) * RATE)
        length = begins - at
        overlapping = rng.random() < 0.5
        at = (
            begins - int(min(4 * wanted * rng.random() * length, 3 * RATE))
            if overlapping
            else begins + int(rng.uniform(0.1, 1.2) * RATE)
        )
    return _mixed(tracks, lines, rng)


def _mixed(
    tracks: Sequence[Sequence[tuple[int, Utterance]]], lines: Sequence[Floats], rng: np.random.Generator
) -> Call:
    length = max(begins + len(said.samples) for track in tracks for begins, said in track) + RATE
    length += -length % (RATE // 5)
    mixed = rng.normal(0, 10 ** rng.uniform(-3.5, -2.8), length).astype(np.float32)
    ticks = np.zeros((2, length // _TICK), bool)
    for party, track in enumerate(tracks):
        for begins, said in track:
            heard = np.convolve(said.samples, lines[party])[: len(said.samples)]
            mixed[begins : begins + len(heard)] += heard
            first = begins // _TICK
            ticks[party, first : first + len(said.spoken)] |= said.spoken[: ticks.shape[1] - first]
    law = (Encoding.PCMU, Encoding.PCMA)[int(rng.integers(2))]
    pcm = decode(Audio(law, RATE, 1, encode(law, to_pcm(mixed[np.newaxis]))))[0]
    return Call(pcm, ticks[0], ticks[1], float(ticks.all(axis=0).sum() / ticks.any(axis=0).sum()))


def _line(rng: np.random.Generator, *, plain: bool) -> Floats:
    """A party's loudness and, unless `plain`, the slope of its line's spectrum: an impulse response."""
    loudness, slope = 10 ** (rng.uniform(-3, 3) / 20), 0.0 if plain else rng.uniform(-0.4, 0.4)
    return np.array([loudness, loudness * slope], np.float32)


def spoken(channel: NDArray[np.int16] | Floats) -> Ticks:
    """In which 10 ms of a channel somebody speaks: within 30 dB of its loud parts."""
    power = (channel[: len(channel) // _TICK * _TICK].astype(np.float64).reshape(-1, _TICK) ** 2).mean(axis=1)
    loud: Ticks = power > np.percentile(power, 95) * 10 ** (-_LOUD_DB / 10)
    return loud


def _utterance(samples: Floats, manner: str = "") -> Utterance:
    """At about -26 dB."""
    samples = samples[: len(samples) // _TICK * _TICK]
    power = (samples.reshape(-1, _TICK) ** 2).mean(axis=1)
    voiced = spoken(samples)
    level = np.sqrt(power[voiced].mean())
    return Utterance((samples * np.float32(0.05 / level)).astype(np.float32), voiced, manner)


def _cut(channel: Floats, pause: int = 30, longest: int = 500) -> list[Utterance]:
    """Speech between pauses of 0.3 s, of 0.4 to 5 s."""
    samples = channel[: len(channel) // _TICK * _TICK]
    voiced = np.flatnonzero(spoken(samples))
    runs = np.split(voiced, np.flatnonzero(np.diff(voiced) > pause) + 1)
    spans = [
        (start, min(start + longest, run[-1] + 1)) for run in runs for start in range(run[0], run[-1] + 1, longest)
    ]
    return [_utterance(samples[a * _TICK : b * _TICK]) for a, b in spans if b - a >= 40]


def pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Every agent with every customer."""
    return [(agent, customer) for agent in names for customer in names if agent != customer]


def manners(said: Mapping[str, Sequence[Utterance]], *kept: str) -> dict[str, list[Utterance]]:
    """Only what is said in these manners."""
    return {name: [each for each in utterances if each.manner in kept] for name, utterances in said.items()}
