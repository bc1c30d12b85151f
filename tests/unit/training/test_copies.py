import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.training.copies import LINES, NOISE_DB, SPEEDS, TILT_DB, Copies, altered, learnt

RATE = 16_000


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    return (0.1 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def loudest_hz(samples: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * RATE / len(samples))


@pytest.mark.parametrize(("kind", "speed"), SPEEDS.items())
def test_at_another_speed_length_and_pitch_change_together(kind: str, speed: float) -> None:
    copy = altered(kind, tone(440), RATE)
    assert len(copy) == pytest.approx(RATE / speed, abs=2)
    assert loudest_hz(copy) == pytest.approx(440 * speed, abs=2)


@pytest.mark.parametrize("kind", LINES)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_another_line_tilts_the_voice_and_adds_noise_within_its_bounds(kind: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    voice = sum(tone(hertz) * random.uniform(0.5, 1) for hertz in (250, 500, 1000, 2000, 4000))
    copy = altered(kind, voice.astype(np.float32), RATE)
    assert copy.shape == voice.shape
    assert copy.dtype == np.float32
    before, after = (np.abs(np.fft.rfft(each)) / len(voice) for each in (voice, copy))
    gains = 20 * np.log10(after[[250, 500, 1000, 2000, 4000]] / before[[250, 500, 1000, 2000, 4000]])
    assert abs(gains[2]) < 0.5  # what is tilted turns around 1 kHz; a bin of the noise may lie on the tone
    assert np.abs(np.diff(gains)).max() < TILT_DB + 1
    tones = np.isin(np.arange(len(after)), [250, 500, 1000, 2000, 4000])
    under_db = 10 * np.log10((after[tones] ** 2).sum() / (after[~tones] ** 2).sum())
    assert NOISE_DB[0] - 0.5 < under_db < NOISE_DB[1] + 0.5


@pytest.mark.parametrize("kind", Copies.LINES_AND_SPEEDS.kinds)
def test_the_same_samples_give_the_same_copy_and_others_another(kind: str) -> None:
    """So it does not matter where in a corpus a window lies, nor which others were left out."""
    first, again, other = (altered(kind, tone(hertz), RATE) for hertz in (300, 300, 301))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_two_lines_are_not_the_same_line() -> None:
    first, second = (altered(kind, tone(300), RATE) for kind in LINES)
    assert not np.array_equal(first, second)


def test_what_is_no_copy_is_left_as_it_is() -> None:
    assert np.array_equal(altered("", tone(300), RATE), tone(300))


def test_nothing_is_copied_unless_it_is_asked_for() -> None:
    assert [len(copies.kinds) for copies in (Copies.NONE, Copies.LINES, Copies.LINES_AND_SPEEDS)] == [0, 2, 4]


@given(windows=st.integers(1, 6), copies=st.integers(0, 4))
def test_every_version_is_a_row_with_its_windows_class(windows: int, copies: int) -> None:
    versions = np.arange(windows * (1 + copies) * 3, dtype=np.float32).reshape(windows, 1 + copies, 3)
    rows, wanted = learnt(versions, {"mood": np.arange(windows)})
    assert len(rows) == windows * (1 + copies)
    for at, row in enumerate(rows):
        assert row in versions[wanted["mood"][at]]
