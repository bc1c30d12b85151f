"""Cross-talk, first on levels made up, then on calls: real voice activity, echo of several gains and delays."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.speech.hearing import Heard, hear, together
from unit.speech.talk import call, leaking, pcm

from streams.domain.overlap import FRAME_MS
from streams.domain.records import Audio, Encoding
from streams.domain.windows import Fate
from streams.speech import crosstalk
from streams.speech.crosstalk import START, Echo, Pair, judge
from streams.speech.decode import decode, encode
from streams.speech.levels import decibels
from streams.speech.silero import BANDS

NOISE = decibels(8)


def babble(frames: int, seed: int, *, loudness: int = decibels(55)) -> np.ndarray:
    """Levels of someone who talks without a pause, (frames, bands)."""
    rng = np.random.default_rng(seed)
    syllables = np.repeat(rng.integers(-90, 1, (frames // 4 + 1, BANDS)), 4, axis=0)[:frames]
    return np.maximum(loudness + syllables + rng.integers(-4, 5, (frames, BANDS)), NOISE)


def echo_of(levels: np.ndarray, down_db: float, frames: int) -> np.ndarray:
    late = np.concatenate((np.full((frames, BANDS), NOISE), levels[: len(levels) - frames]))
    return np.maximum(late - decibels(down_db), NOISE)


def flags(*channels: np.ndarray, state: bytes = START) -> np.ndarray:
    """Which frames of the two channels are echo: (frames, 2)."""
    (echo,) = judge([pair(channels, state)])
    return np.array([echo.flags.get(n, (False, False)) for n in range(len(channels[0]))])


def pair(channels: Sequence[np.ndarray], state: bytes) -> Pair:
    return Pair(tuple(channel.astype(np.uint8).tobytes() for channel in channels), state)


@pytest.mark.parametrize("down_db", [6, 12, 20, 30])
@pytest.mark.parametrize("late", [0, 1, 5, 9])
def test_the_other_channels_voice_is_an_echo_once_the_way_is_known(down_db: float, late: int) -> None:
    voice = babble(400, 1)
    found = flags(voice, echo_of(voice, down_db, late))
    assert found[60:, 1].mean() > 0.98
    assert not found[:, 0].any()


def test_without_an_echo_neither_is_one_of_the_other_not_even_while_both_speak() -> None:
    quiet, first, second = np.full((150, BANDS), NOISE), babble(300, 1), babble(300, 2)
    agent = np.concatenate((first[:150], quiet, first[150:]))
    customer = np.concatenate((quiet, second))
    found = flags(agent, customer)
    assert found[:150, 0].mean() < 0.02
    assert found[150:300, 1].mean() < 0.02
    assert found[300:].mean() < 0.02


def test_whoever_answers_is_heard_at_once_though_an_echo_came_before() -> None:
    voice, quiet = babble(300, 1), np.full((100, BANDS), NOISE)
    heard = np.concatenate((echo_of(voice, 12, 3), babble(100, 2)))
    found = flags(np.concatenate((voice, quiet)), heard)
    assert found[60:300, 1].mean() > 0.98
    assert not found[305:, 1].any()


def test_where_each_is_heard_in_the_others_channel_the_louder_one_is_the_voice() -> None:
    one, other, quiet = babble(150, 1), babble(150, 2), np.full((150, BANDS), NOISE)
    first, second = np.concatenate((one, quiet, one)), np.concatenate((quiet, other, quiet))
    found = flags(np.maximum(first, echo_of(second, 9, 1)), np.maximum(second, echo_of(first, 9, 1)))
    assert found[300:, 1].mean() > 0.95
    assert found[200:300, 0].mean() > 0.95
    assert found[160:300, 1].mean() < 0.05


def test_the_way_stays_known_over_a_break_and_the_audio_before_it_does_not() -> None:
    voice = babble(300, 1)
    (echo,) = judge([pair((voice, echo_of(voice, 12, 3)), START)])
    after = babble(60, 3)
    assert flags(after, echo_of(after, 12, 3), state=crosstalk.rest(echo.state))[8:, 1].all()
    assert not flags(np.full((9, BANDS), NOISE), after[:9], state=crosstalk.rest(echo.state))[:, 1].any()


calls = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), min_size=1, max_size=5)


@given(calls, st.data())
@settings(deadline=None)
def test_neither_neighbours_nor_chunks_nor_a_restart_change_anything(
    lengths: list[tuple[int, int]], data: st.DataObject
) -> None:
    rng = np.random.default_rng(len(lengths))
    told = [(babble(n, seed), echo_of(babble(n, seed), 9, min(n, 2))) for n, seed in lengths]
    warm = [_warm(int(rng.integers(3))) for _ in told]
    together = judge([pair(channels, state) for channels, state in zip(told, warm, strict=True)])
    for channels, state, echo in zip(told, warm, together, strict=True):
        cut = data.draw(st.integers(0, len(channels[0])))
        (early,) = judge([pair([channel[:cut] for channel in channels], state)])
        (late,) = judge([pair([channel[cut:] for channel in channels], early.state)])
        assert Echo({**early.flags, **{cut + n: flag for n, flag in late.flags.items()}}, late.state) == echo


def _warm(seed: int) -> bytes:
    voice = babble(30, seed)
    return judge([pair((voice, echo_of(voice, 9, 2)), START)])[0].state


def test_the_state_of_a_call_has_one_size() -> None:
    states, voice = {len(START)}, babble(3000, 1)
    state = START
    for start in range(0, 3000, 100):
        part = voice[start : start + 100]
        (echo,) = judge([pair((part, echo_of(part, 12, 2)), state)])
        state = echo.state
        states.add(len(state))
    assert states == {len(START)}
    assert len(START) < 2048


TURNS = [(0, 0.5, 6.0), (1, 7.0, 4.0), (0, 11.4, 5.0), (1, 16.7, 4.0), (0, 21.0, 4.0)]


@pytest.fixture(scope="module")
def clean() -> Heard:
    return hear(pcm(call(TURNS, 26)))


@pytest.mark.parametrize(("gain_db", "delay_ms"), [(-6, 0), (-12, 300)])
def test_the_agents_voice_in_the_customers_channel_is_a_leak_and_no_turn(
    clean: Heard, gain_db: float, delay_ms: int
) -> None:
    heard = hear(pcm(leaking(call(TURNS, 26), gain_db, delay_ms)))
    assert sum(heard.scored(start, start + length) for channel, start, length in TURNS if channel == 0) == 0
    kept = sum(heard.scored(start / 1000, end / 1000) for start, end in clean.windows)
    assert kept >= 0.98 * clean.seconds(Fate.WINDOW)
    assert heard.seconds(Fate.LEAK) > 8
    assert heard.seconds(Fate.LEAK, channel=0) < 0.5
    assert heard.seconds(Fate.AGENT, channel=0) == pytest.approx(clean.seconds(Fate.AGENT, channel=0), abs=0.5)


@pytest.mark.needs("recordings")
def test_on_a_telephone_call_nothing_of_the_agents_echo_is_scored_and_nothing_of_the_customer_lost(
    recordings: Path,
) -> None:
    told, _ = soundfile.read(recordings / "calls8k/aws_auto_repairs_40_2ch.wav", dtype="int16")
    calls = [_coded(each) for each in (told.T, pcm(leaking(told.T.astype(float), -15, 150)))]
    scored = [np.zeros(len(told) // (FRAME_MS * 8), bool) for _ in calls]
    for heard, frames in zip(together(calls), scored, strict=True):
        for start, end in heard.windows:
            frames[start // FRAME_MS : end // FRAME_MS] = True
    echo, customer = _loud(told[:, 0], 150), _loud(told[:, 1], 0)
    assert (scored[0] & customer & ~scored[1]).sum() <= 0.02 * (scored[0] & customer).sum()
    assert (scored[1] & echo & ~customer).sum() <= 0.01 * (echo & ~customer).sum()


def _coded(samples: np.ndarray) -> np.ndarray:
    """As G.711 leaves it."""
    return decode(Audio(Encoding.PCMU, 8000, 2, encode(Encoding.PCMU, samples)))


def _loud(samples: np.ndarray, delay_ms: int) -> np.ndarray:
    """Frames within 30 dB of the loud ones."""
    late = np.concatenate((np.zeros(delay_ms * 8, np.int16), samples))[: len(samples)]
    energy = (late[: len(late) // 256 * 256].astype(float).reshape(-1, 256) ** 2).mean(axis=1)
    return energy > np.percentile(energy, 95) / 1000
