"""Calls through voice activity, cross-talk and fold, chunk by chunk, stopped and taken up again where a test likes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.domain.call import Listen
from streams.domain.hearing import Fates, Hearing
from streams.domain.records import Audio, Encoding, Role
from streams.domain.windows import Fate
from streams.speech import listening
from streams.speech.activity import VoiceActivity
from streams.speech.decode import encode
from streams.speech.listening import Listening, Spoken

ROLES = (Role.AGENT, Role.CUSTOMER)
AT = datetime(2026, 11, 27, tzinfo=UTC)


@cache
def model() -> VoiceActivity:
    return VoiceActivity()


@dataclass
class Heard:
    """What became of a call: windows of the customer (ms) and milliseconds by fate, by channel."""

    windows: list[tuple[int, int]]
    fates: tuple[Fates, ...]

    def seconds(self, fate: Fate, channel: int = 1) -> float:
        return self.fates[channel].get(fate, 0) / 1000

    def scored(self, start: float, end: float) -> float:
        """Seconds between these two that are in a window."""
        return sum(max(0, min(last / 1000, end) - max(first / 1000, start)) for first, last in self.windows)


def chunks(pcm: NDArray[np.int16], rate: int, chunk_ms: int) -> Iterator[tuple[Listen, int]]:
    """The call as it comes over the wire, each chunk with its record's offset."""
    size, at_ms = chunk_ms * rate // 1000, 0
    for number, first in enumerate(range(0, pcm.shape[1], size)):
        part = pcm[:, first : first + size]
        audio = Audio(Encoding.L16, rate, len(pcm), encode(Encoding.L16, part))
        yield Listen(at_ms, audio, 0, AT + timedelta(milliseconds=at_ms + audio.duration_ms)), number
        at_ms += audio.duration_ms


def hear(pcm: NDArray[np.int16], *, rate: int = 8000, chunk_ms: int = 1000, roles: tuple[Role, ...] = ROLES) -> Heard:
    return together([pcm], rate=rate, chunk_ms=chunk_ms, roles=roles)[0]


def together(
    calls: Sequence[NDArray[np.int16]], *, rate: int = 8000, chunk_ms: int = 1000, roles: tuple[Role, ...] = ROLES
) -> list[Heard]:
    """Several calls, a chunk of each in every batch."""
    open_calls = [listening.silent(roles) for _ in calls]
    windows: list[list[Spoken]] = [[] for _ in calls]
    parts = [list(chunks(pcm, rate, chunk_ms)) for pcm in calls]
    for tick in range(max(map(len, parts))):
        there = [n for n in range(len(calls)) if tick < len(parts[n])]
        found = listening.hear(model(), [(open_calls[n], *parts[n][tick]) for n in there])
        for n, spoken in zip(there, found, strict=True):
            windows[n] += spoken
    for n, each in enumerate(open_calls):
        windows[n] += each.stop(calls[n].shape[1] * 1000 // rate)
    return [told(each, spoken) for each, spoken in zip(open_calls, windows, strict=True)]


def told(heard: Listening, spoken: Sequence[Spoken]) -> Heard:
    return Heard([(each.start_ms, each.end_ms) for each in spoken], heard.hearing.fates)


def again(heard: Listening) -> Listening:
    """A call as a worker reads it back from its checkpoint: state and nothing else, as bytes."""
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(heard.hearing), type=Hearing)
    return Listening(state, heard.activity, heard.turn_at, heard.echo, heard.prints)
