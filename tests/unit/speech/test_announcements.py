"""Announcements of a site, known again by their sound: here one of the sample calls' voices stands for the machine."""

import wave
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from unit.speech.hearing import ROLES, chunks, model

from services.recordings import open_recording, read
from streams.domain.records import Audio, Encoding, Role
from streams.domain.roles import OneChannel
from streams.domain.windows import Fate
from streams.speech import announcements, listening
from streams.speech.activity import Stretch
from streams.speech.announcements import START, AnnouncementError, Announcements, judge, learn
from streams.speech.decode import decode, encode
from streams.speech.expecting import Expecting

CALM = Path(__file__).parents[3] / "services" / "standalone" / "samples" / "calm.wav"
RATE = 8000


@cache
def speech() -> np.ndarray:
    """The customer of the sample call, without pauses of over 0.1 s."""
    channel = read(open_recording(CALM))[1]
    loud = np.convolve(np.abs(channel.astype(float)), np.ones(800), "same") > 800 * 60
    return channel[loud]


@cache
def played() -> np.ndarray:
    return speech()[: 6 * RATE]


@cache
def known() -> Announcements:
    return learn(model(), [(RATE, played())])


def line(samples: np.ndarray, *, gain: float = 1, noise: float = 3) -> np.ndarray:
    """One channel as G.711 leaves it."""
    told = samples * gain + np.random.default_rng(1).normal(0, noise, len(samples))
    pcm = np.clip(np.rint(told), -32768, 32767).astype(np.int16)[np.newaxis]
    return decode(Audio(Encoding.PCMU, RATE, 1, encode(Encoding.PCMU, pcm)))[0]


def levels(samples: np.ndarray) -> bytes:
    (heard,) = model().hear(RATE, [Stretch(samples[: len(samples) // 256 * 256].copy(), np.zeros(32, np.int16))])
    return heard.levels


def call(samples: np.ndarray) -> tuple[int, int]:
    """Milliseconds in windows, and of what is no speech, of a call on whose customer's channel this is."""
    heard = listening.silent(ROLES, Expecting(announcements=known()))
    for chunk, offset in chunks(np.stack((0 * samples, samples)), RATE, 500):
        listening.hear(model(), [(heard, chunk, offset)])
    heard.stop(len(samples) // 8)
    fates = heard.hearing.fates[1]
    return fates.get(Fate.WINDOW, 0), fates.get(Fate.NOT_SPEECH, 0)


@pytest.mark.parametrize(("late", "gain"), [(0, 1.0), (1093, 0.4), (5003, 0.25)])
def test_an_announcement_is_known_again_and_none_of_it_is_a_window(late: int, gain: float) -> None:
    rest = np.zeros(RATE)
    windows_ms, announced_ms = call(line(np.concatenate((np.zeros(late), played(), rest)), gain=gain))
    assert windows_ms == 0
    assert announced_ms > 4000


def test_an_announcement_is_known_again_where_both_parties_are_on_one_channel_and_no_voice_is_learnt_from_it() -> None:
    heard = listening.silent((Role.MIXED,), Expecting(one_channel=OneChannel(Role.AGENT), announcements=known()))
    samples = line(np.concatenate((played(), np.zeros(RATE))))
    for chunk, offset in chunks(samples[np.newaxis], RATE, 500):
        assert listening.hear(model(), [(heard, chunk, offset)]) == [[]]
    heard.stop(len(samples) // 8)
    assert heard.hearing.fates[0][Fate.NOT_SPEECH] > 4000
    assert heard.hearing.mono is not None
    assert heard.hearing.mono.memory.vectors == ()


def test_whoever_speaks_after_the_announcement_is_heard() -> None:
    after = speech()[9 * RATE : 14 * RATE]
    windows_ms, _ = call(line(np.concatenate((played(), np.zeros(RATE), after, np.zeros(RATE)))))
    assert windows_ms > 4000


def test_an_announcement_that_is_cut_short_ends_within_a_second_or_so() -> None:
    after = speech()[9 * RATE : 14 * RATE]
    found, _ = judge(known(), levels(line(np.concatenate((played()[: 3 * RATE], after)))), START)
    assert 60 < max(found) < 3000 // 32 + 40


def test_other_speech_of_the_same_voice_is_no_announcement() -> None:
    assert judge(known(), levels(line(speech()[7 * RATE :])), START)[0] == []


def test_neither_chunks_nor_a_restart_change_what_is_announced() -> None:
    told = levels(line(played()))
    whole, after = judge(known(), told, START)
    for cut in range(0, len(told) // 16, 17):
        early, state = judge(known(), told[: cut * 16], START)
        late, last = judge(known(), told[cut * 16 :], state)
        assert [*early, *(cut + frame for frame in late)] == whole
        assert last == after
        assert len(state) == len(START) < 100


def test_recordings_that_cannot_be_used_are_all_named_at_once(tmp_path: Path) -> None:
    for name, channels, rate, frames in (
        ("two.wav", 2, 8000, 9999),
        ("slow.wav", 1, 11025, 99999),
        ("t.wav", 1, 8000, 9),
    ):
        with wave.open(str(tmp_path / name), "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(bytes(2 * channels * frames))
    names = ["two.wav", "slow.wav", "short.wav", "none.wav"]
    with pytest.raises(AnnouncementError) as caught:
        announcements.read(model(), [tmp_path / name for name in names])
    said = str(caught.value).splitlines()
    assert [line_.startswith(str(tmp_path / name)) for line_, name in zip(said, names, strict=True)] == [True] * 4
