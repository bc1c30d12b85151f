from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.overlap import FRAME_MS
from streams.speech.activity import Activity, Samples, Stretch, VoiceActivity, frame_samples
from streams.speech.regions import JOINED_MS, Region, regions


class Heard(VoiceActivity):
    """Hears what it was told to."""

    def __init__(self, *probabilities: float) -> None:
        self._probabilities = probabilities

    def hear(self, rate: int, stretches: Sequence[Stretch]) -> list[Activity]:
        (stretch,) = stretches
        assert len(stretch.frames) == len(self._probabilities) * frame_samples(rate)
        return [Activity(self._probabilities, (), b"")]


def found(*probabilities: float, cut_ms: int = 0) -> list[Region]:
    samples = np.zeros(8 * (len(probabilities) * FRAME_MS - cut_ms), np.int16)
    return regions(Heard(*probabilities), 8000, samples)


def test_a_region_lasts_while_its_speaker_is_heard() -> None:
    assert found(0.1, 0.6, 0.4, 0.3, 0.4, 0.6) == [(32, 192)]
    assert found(0.4, 0.4) == []
    assert found() == []


def test_regions_with_less_than_0_3_s_between_them_are_one() -> None:
    assert found(0.9, *[0.0] * 9, 0.9) == [(0, 11 * FRAME_MS)]
    assert found(0.9, *[0.0] * 10, 0.9) == [(0, FRAME_MS), (11 * FRAME_MS, 12 * FRAME_MS)]


def test_a_region_ends_with_the_recording() -> None:
    assert found(0.1, 0.9, cut_ms=20) == [(32, 44)]


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=100))
def test_regions_are_in_order_and_apart(probabilities: list[float]) -> None:
    each = found(*probabilities)
    assert all(start < end for start, end in each)
    assert all(after[0] - before[1] >= JOINED_MS for before, after in pairwise(each))
    heard = sum(probability >= 0.5 for probability in probabilities) * FRAME_MS
    assert sum(end - start for start, end in each) >= heard


@pytest.mark.parametrize("rate", [8000, 16000])
def test_silence_has_no_region(rate: int) -> None:
    silence: Samples = np.zeros(rate + 7, np.int16)
    assert regions(VoiceActivity(), rate, silence) == []
