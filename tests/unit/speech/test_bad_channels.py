"""Two channels that are not what they should be, through voice activity, cross-talk and fold."""

import numpy as np
import pytest
from unit.speech.hearing import ROLES, again, chunks, hear, model
from unit.speech.talk import RATE, call, leaking, pcm

from streams.domain.windows import Fate
from streams.speech import listening

TURNS = [(0, 0.5, 6.0), (1, 7.0, 4.0), (0, 11.4, 5.0), (1, 16.7, 4.0)]


@pytest.fixture(scope="module")
def channels() -> np.ndarray:
    return call(TURNS, 21)


def test_both_channels_identical_are_not_scored(channels: np.ndarray) -> None:
    same = channels.sum(axis=0)
    heard = hear(pcm(np.stack((same, same))))
    assert heard.windows == []
    assert heard.seconds(Fate.UNKNOWN_ROLE, 0) == heard.seconds(Fate.UNKNOWN_ROLE, 1) > 15


def test_a_silent_channel_changes_nothing_for_the_other(channels: np.ndarray) -> None:
    both, silent = pcm(channels), np.zeros_like(channels[0])
    assert hear(pcm(np.stack((silent, channels[1])))).windows == hear(both).windows != []
    assert hear(pcm(np.stack((channels[0], silent)))).fates[1] == {Fate.SILENCE: 21_000}


def test_an_echo_that_drifts_with_the_clocks_stays_one(channels: np.ndarray) -> None:
    # 0.1 % is ten times what two sound cards differ by: 20 ms in these 20 s.
    at = np.arange(channels.shape[1])
    drifted = np.interp(at * 1.001, at, channels[0])
    clean, heard = hear(pcm(channels)), hear(pcm(channels + np.stack((0 * at, 0.25 * np.roll(drifted, 800)))))
    assert sum(heard.scored(start, start + length) for channel, start, length in TURNS if channel == 0) == 0
    assert len(heard.windows) == len(clean.windows) == 2


def test_an_echo_is_one_right_after_a_gap(channels: np.ndarray) -> None:
    told = list(chunks(pcm(leaking(channels, -12, 100)), RATE, 500))
    heard = listening.silent(ROLES)
    for chunk, offset in told[:20]:
        listening.hear(model(), [(heard, chunk, offset)])
    heard.stop(told[20][0].at_ms)
    leak_ms = heard.hearing.fates[1].get(Fate.LEAK, 0)
    after = again(heard)
    for chunk, offset in told[24:30]:
        assert listening.hear(model(), [(after, chunk, offset)]) == [[]]
    after.stop(told[30][0].at_ms)
    assert after.hearing.fates[1][Fate.LEAK] - leak_ms > 2000
