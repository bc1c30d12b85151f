"""A call is heard alike however its chunks come, beside whatever calls, and wherever a worker crashes on it."""

from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.speech.hearing import AT, ROLES, Heard, again, chunks, hear, model, together
from unit.speech.talk import RATE, call, leaking, pcm

from streams.domain.call import Ledger
from streams.domain.checkpoint import Point, remember
from streams.domain.consent import Permission
from streams.speech import listening
from streams.speech.listening import Listening

TURNS = [(0, 0.3, 3.0), (1, 3.6, 3.2), (0, 7.0, 1.5), (1, 8.4, 2.8)]
LEDGER = Ledger("c" * 64, "e", "demo", "en", ROLES, AT, AT, Permission(None, {}, None))


@cache
def told() -> np.ndarray:
    return pcm(leaking(call(TURNS, 12), -12, 150))


@cache
def undisturbed() -> Heard:
    return hear(told(), chunk_ms=1000)


def point(heard: Listening, offset: int) -> Point:
    return Point(LEDGER, heard.hearing, heard.activity, offset, heard.oldest_offset, heard.turn_at, heard.echo)


@given(chunk_ms=st.sampled_from([100, 200, 333, 1024, 5000]), shift=st.integers(1, 3000))
@settings(max_examples=6, deadline=None)
def test_neither_chunks_nor_other_calls_beside_it_change_what_is_heard(chunk_ms: int, shift: int) -> None:
    other = np.roll(told(), shift, axis=1)[::-1, : RATE * 4].copy()
    heard, _ = together([told(), other], chunk_ms=chunk_ms)
    assert heard == undisturbed()


@given(crash=st.integers(0, 59))
@settings(max_examples=10, deadline=None)
def test_wherever_a_worker_crashes_turns_and_fates_are_those_of_an_undisturbed_run(crash: int) -> None:
    parts, heard = list(chunks(told(), RATE, 200)), listening.silent(ROLES)
    points: tuple[Point, ...] = ()
    windows = set[tuple[int, int]]()
    for chunk, offset in parts[: crash + 1]:
        windows |= {(each.start_ms, each.end_ms) for each in listening.hear(model(), [(heard, chunk, offset)])[0]}
        points = remember(points, point(heard, offset + 1))
    kept = points[0]
    heard = again(Listening(kept.hearing, kept.activity, kept.turn_at, kept.echo))
    for chunk, offset in parts[kept.audio_offset : kept.offset]:
        heard.refill(chunk, offset)
    for chunk, offset in parts[kept.offset :]:
        windows |= {(each.start_ms, each.end_ms) for each in listening.hear(model(), [(heard, chunk, offset)])[0]}
    windows |= {(each.start_ms, each.end_ms) for each in heard.stop(12_000)}
    assert Heard(sorted(windows), heard.hearing.fates) == undisturbed()
    assert undisturbed().windows
