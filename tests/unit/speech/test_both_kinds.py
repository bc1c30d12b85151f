"""Calls of two channels and of one, heard on one worker at once."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from unit.speech.hearing import ROLES, chunks, model

from services.recordings import open_recording, read
from streams.domain.hearing import Hearing
from streams.domain.records import Role
from streams.domain.roles import OneChannel
from streams.speech import listening
from streams.speech.activity import Samples
from streams.speech.expecting import Expecting
from streams.speech.listening import Spoken
from streams.speech.products import Floats
from streams.speech.telling import Telling

CALM = Path(__file__).parents[3] / "services" / "standalone" / "samples" / "calm.wav"
RATE, DURATION_MS = 8000, 24_000
EXPECTING = Expecting(Role.AGENT, OneChannel(Role.AGENT))
MIXED = (Role.MIXED,)

Window = tuple[int, int, bytes]


class Unasked:
    """Voiceprints that nobody may ask for."""

    space = ""

    def embed(self, rate: int, pieces: Sequence[Samples]) -> Floats:
        raise AssertionError(f"{len(pieces)} pieces at {rate} Hz are compared with voices")


@cache
def two() -> np.ndarray:
    return read(open_recording(CALM))[:, : DURATION_MS * RATE // 1000]


@cache
def one() -> np.ndarray:
    return (two().astype(np.int32).sum(axis=0, keepdims=True) // 2).astype(np.int16)


def heard(*calls: tuple[tuple[Role, ...], np.ndarray]) -> list[tuple[list[Window], Hearing]]:
    """Windows and state of each call, a chunk of each in every batch."""
    opened = [listening.silent(roles, EXPECTING) for roles, _ in calls]
    windows: list[list[Spoken]] = [[] for _ in calls]
    for tick in zip(*(chunks(pcm, RATE, 500) for _, pcm in calls), strict=True):
        found = listening.hear(model(), [(each, *chunk) for each, chunk in zip(opened, tick, strict=True)])
        windows = [own + more for own, more in zip(windows, found, strict=True)]
    windows = [own + each.stop(DURATION_MS) for own, each in zip(windows, opened, strict=True)]
    told = [[(each.start_ms, each.end_ms, each.samples.tobytes()) for each in own] for own in windows]
    return [(own, each.hearing) for own, each in zip(told, opened, strict=True)]


def test_nobodys_voice_is_compared_on_a_call_of_two_channels() -> None:
    call = listening.silent(ROLES, EXPECTING)
    windows = [
        window
        for chunk, offset in chunks(two(), RATE, 500)
        for window in listening.hear(model(), [(call, chunk, offset)], Telling(Unasked()))[0]
    ]
    assert windows
    assert call.hearing.mono is None


def test_calls_of_both_kinds_in_one_batch_are_heard_as_each_by_itself() -> None:
    together = heard((ROLES, two()), (MIXED, one()))
    assert together == [*heard((ROLES, two())), *heard((MIXED, one()))]
    (windows, _), (_, mixed) = together
    assert windows
    assert mixed.mono is not None
    assert mixed.mono.memory.voices is not None
