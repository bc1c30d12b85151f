"""The mono sum of a call whose parties were recorded on a channel each: who is who is known for certain."""

from pathlib import Path

import numpy as np
import pytest

from services.recordings import open_recording, read
from services.timeline import spoken
from streams.domain.records import Role
from streams.domain.roles import OneChannel
from streams.speech import listening
from streams.speech.expecting import Expecting

TICK = 80  #: 10 ms


def loud(channel: np.ndarray) -> np.ndarray:
    """In which 10 ms somebody speaks: within 30 dB of the channel's loud parts."""
    power = (channel[: len(channel) // TICK * TICK].astype(np.float64).reshape(-1, TICK) ** 2).mean(axis=1)
    return power > np.percentile(power, 95) / 1000


@pytest.mark.needs("recordings")
def test_on_the_mono_sum_of_a_real_call_the_callers_windows_are_found_and_none_of_the_agents(recordings: Path) -> None:
    folder = recordings / "calls8k"
    agent, caller = (loud(channel) for channel in read(open_recording(folder / "aws_auto_repairs_40_2ch.wav")))
    mono = open_recording(folder / "aws_auto_repairs_40_mono.wav")
    heard = listening.silent((Role.MIXED,), Expecting(one_channel=OneChannel(Role.AGENT)))
    windows = [window for _, windows in spoken(mono, heard) for window in windows]
    assert len(windows) >= 2
    assert {window.role for window in windows} == {Role.CUSTOMER}
    ticks = np.concatenate([np.arange(window.start_ms // 10, window.end_ms // 10) for window in windows])
    assert caller[ticks].sum() > 500
    assert (agent & ~caller)[ticks].sum() <= 0.001 * len(ticks)
