"""One channel on which a network says who speaks when: heard alike however its chunks come, and across a crash.

Who speaks is written into the lowest two bits of every sample, and the networks' places are taken by what reads them.
"""

from collections.abc import Sequence
from functools import cache
from zlib import crc32

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.speech.hearing import AT, Heard, again, chunks, model
from unit.speech.talk import RATE, pcm, voice

from streams.domain.call import Ledger
from streams.domain.checkpoint import Point, remember
from streams.domain.consent import Permission
from streams.domain.overlap import FRAME_MS
from streams.domain.pieces import LATENCY_MS, PAUSE_MS
from streams.domain.records import Role
from streams.domain.roles import OneChannel
from streams.domain.windows import Fate
from streams.speech import listening
from streams.speech.activity import Samples
from streams.speech.expecting import Expecting
from streams.speech.listening import Listening
from streams.speech.products import Floats
from streams.speech.telling import Telling

WINDOW_MS, CALL_MS = 4_000, 40_000
MIXED = (Role.MIXED,)
FIRST = OneChannel(Role.AGENT)
LEDGER = Ledger("c" * 64, "e", "demo", "en", MIXED, AT, AT, Permission(None, {}, None))
AGENT, CUSTOMER = 1, 2
#: Who speaks from when, for how long (s), twice over.
TURNS = [(AGENT, 0.5, 6.0), (CUSTOMER, 6.0, 7.0), (AGENT, 13.2, 4.0), (CUSTOMER, 16.5, 3.0)]


class Segments:
    """Whom it hears first in a window is the first; and now and then, as all of the window is, it hears two at once."""

    window_ms = WINDOW_MS

    def hear(self, rate: int, windows: Sequence[Samples]) -> list[tuple[int, ...]]:
        return [self._heard(rate, window) for window in windows]

    @staticmethod
    def _heard(rate: int, window: Samples) -> tuple[int, ...]:
        assert len(window) == WINDOW_MS * rate // 1000
        size = rate * FRAME_MS // 1000
        written = window[len(window) % size :].reshape(-1, size)[:, size // 2] & 3
        first = next((int(who) for who in written if who), 0)
        who = np.where((written == AGENT) | (written == CUSTOMER), 1 + (written != first), written)
        if (mark := crc32(window.tobytes())) % 8 == 0:
            who[-1 - mark % 30] = 3
        return tuple(who.tolist())


class Vectors:
    """A piece lies between the voices as the speakers share it."""

    space = "written"

    def embed(self, rate: int, pieces: Sequence[Samples]) -> Floats:
        assert rate == RATE
        return np.stack([self._vector(piece) for piece in pieces])

    @staticmethod
    def _vector(piece: Samples) -> Floats:
        place = float(((piece & 3 == CUSTOMER).astype(int) - (piece & 3 == AGENT)).mean())
        rng = np.random.default_rng(crc32(piece.tobytes()))
        return (6 * place + rng.normal(0, 1, 8)).astype(np.float32)


TELLING = Telling(Vectors(), Segments())
EXPECTING = Expecting(one_channel=FIRST, reach_ms=TELLING.reach_ms)


@cache
def told() -> np.ndarray:
    out, who = np.random.default_rng(0).normal(0, 4, CALL_MS * RATE // 1000), np.zeros(CALL_MS * RATE // 1000, np.int16)
    for number, (speaker, start, length) in enumerate([*TURNS, *((each, at + 20, long) for each, at, long in TURNS)]):
        spoken, first = voice(length, number, pitch=(190, 110)[speaker - 1]), int(start * RATE)
        out[first : first + len(spoken)] += spoken
        who[first : first + len(spoken)] |= speaker
    return (pcm(out) & ~3 | who)[np.newaxis]


@cache
def undisturbed() -> Heard:
    return hear(1000)


def hear(chunk_ms: int, beside: np.ndarray | None = None, telling: Telling = TELLING) -> Heard:
    """The call, with another in every batch where there is one."""
    calls = [told()] if beside is None else [beside, told()]
    expecting = Expecting(one_channel=FIRST, reach_ms=telling.reach_ms)
    opened = [listening.silent(MIXED, expecting) for _ in calls]
    windows = set[tuple[int, int]]()
    for tick in zip(*(chunks(each, RATE, chunk_ms) for each in calls), strict=True):
        found = listening.hear(model(), [(one, *chunk) for one, chunk in zip(opened, tick, strict=True)], telling)
        windows |= {(each.start_ms, each.end_ms) for each in found[-1]}
    windows |= {(each.start_ms, each.end_ms) for each in opened[-1].stop(CALL_MS)}
    return Heard(sorted(windows), opened[-1].hearing.fates)


def point(heard: Listening, offset: int) -> Point:
    return Point(LEDGER, heard.hearing, heard.activity, offset, heard.oldest_offset, heard.turn_at, heard.echo)


def spoken(heard: Heard, who: int) -> float:
    """Seconds of the windows in which these speak."""
    written = told()[0] & 3
    return sum((written[start * 8 : end * 8] == who).sum() for start, end in heard.windows) / RATE


def test_overlap_that_is_heard_is_nobodys_and_every_millisecond_has_a_fate() -> None:
    plain = hear(1000, telling=Telling(Vectors()))
    assert Fate.OVERLAP not in plain.fates[0]
    assert undisturbed().seconds(Fate.OVERLAP, channel=0) > 1
    assert sum(plain.fates[0].values()) == sum(undisturbed().fates[0].values()) == CALL_MS


def test_where_it_is_heard_who_speaks_more_of_the_customers_words_are_scored_and_none_of_the_agents() -> None:
    plain = hear(1000, telling=Telling(Vectors()))
    assert spoken(undisturbed(), CUSTOMER) > spoken(plain, CUSTOMER)
    assert spoken(undisturbed(), AGENT) + spoken(undisturbed(), AGENT | CUSTOMER) < 0.1


@given(chunk_ms=st.sampled_from([100, 200, 333, 1024, 5000]), shift=st.integers(1, 3000))
@settings(max_examples=4, deadline=None)
def test_neither_chunks_nor_other_calls_beside_it_change_what_is_heard(chunk_ms: int, shift: int) -> None:
    assert hear(chunk_ms, np.roll(told(), shift, axis=1)) == undisturbed()


@given(crash=st.integers(0, 79))
@settings(max_examples=5, deadline=None)
def test_wherever_a_worker_crashes_turns_and_fates_are_those_of_an_undisturbed_run(crash: int) -> None:
    parts, heard = list(chunks(told(), RATE, 500)), listening.silent(MIXED, EXPECTING)
    points: tuple[Point, ...] = ()
    windows = set[tuple[int, int]]()
    for chunk, offset in parts[: crash + 1]:
        found = listening.hear(model(), [(heard, chunk, offset)], TELLING)[0]
        windows |= {(each.start_ms, each.end_ms) for each in found}
        points = remember(points, point(heard, offset + 1))
    kept = points[0]
    heard = again(Listening(kept.hearing, kept.activity, kept.turn_at, kept.echo))
    heard.expect(EXPECTING)
    for chunk, offset in parts[kept.audio_offset : kept.offset]:
        heard.refill(chunk, offset)
    for chunk, offset in parts[kept.offset :]:
        found = listening.hear(model(), [(heard, chunk, offset)], TELLING)[0]
        windows |= {(each.start_ms, each.end_ms) for each in found}
    windows |= {(each.start_ms, each.end_ms) for each in heard.stop(CALL_MS)}
    assert Heard(sorted(windows), heard.hearing.fates) == undisturbed()
    assert undisturbed().windows


def test_what_a_restart_needs_goes_back_no_further_than_a_window_before_the_open_turn() -> None:
    heard = listening.silent(MIXED, EXPECTING)
    for chunk, offset in chunks(told(), RATE, 200):
        listening.hear(model(), [(heard, chunk, offset)], TELLING)
        assert (offset - heard.oldest_offset) * 200 <= WINDOW_MS + PAUSE_MS + LATENCY_MS
