import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st

from streams.speech.resample import published_rate, resample, resampled, to_pcm


def tone(rate: int, hertz: float, seconds: float = 1.0, channels: int = 1) -> np.ndarray:
    time = np.arange(round(rate * seconds)) / rate
    return np.tile(np.sin(2 * np.pi * hertz * time), (channels, 1)).astype(np.float32) / 2


@pytest.mark.parametrize(
    ("rate", "published"), [(8000, 8000), (11025, 8000), (16000, 16000), (22050, 16000), (48000, 16000)]
)
def test_a_recording_is_published_at_the_highest_rate_that_invents_nothing(rate: int, published: int) -> None:
    assert published_rate(rate) == published


@pytest.mark.parametrize("rate", [11025, 22050, 44100, 48000])
def test_a_tone_keeps_its_pitch_loudness_and_length(rate: int) -> None:
    out = resample(tone(rate, 440), rate, 8000)
    assert out.shape == (1, 8000)
    inner = slice(400, -400)  # the ends ring
    assert np.max(np.abs(out[:, inner] - tone(8000, 440)[:, inner])) < 1e-3


def test_what_lies_above_the_new_band_is_gone() -> None:
    assert np.max(np.abs(resample(tone(16000, 6000), 16000, 8000)[:, 400:-400])) < 1e-4


def test_the_whole_is_what_soxr_makes_of_it_in_one_go() -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, (2, 44100)).astype(np.float32)
    expected = soxr.resample(samples.T, 44100, 16000).T
    assert resample(samples, 44100, 16000) == pytest.approx(expected, abs=1e-6)


@given(cuts=st.lists(st.integers(0, 22050), max_size=6), channels=st.integers(1, 2))
def test_how_a_recording_is_cut_into_blocks_changes_no_bit(cuts: list[int], channels: int) -> None:
    samples = np.random.default_rng(1).normal(0, 0.1, (channels, 22050)).astype(np.float32)
    blocks = np.split(samples, sorted(cuts), axis=1)
    together = np.concatenate(list(resampled(blocks, 22050, 16000)), axis=1)
    assert np.array_equal(together, resample(samples, 22050, 16000))


def test_the_same_rate_passes_through() -> None:
    samples = tone(8000, 440, channels=2)
    assert list(resampled([samples], 8000, 8000)) == [samples]


def test_digital_silence_stays_silent() -> None:
    assert not resample(np.zeros((2, 4410), np.float32), 44100, 16000).any()


@given(st.integers(-32768, 32767))
def test_16_bit_samples_survive_the_way_through_floats(sample: int) -> None:
    assert to_pcm(np.array([[sample]], np.float32) / 32768).tolist() == [[sample]]


def test_what_is_beyond_full_scale_is_clipped() -> None:
    assert to_pcm(np.array([[1.0, 1.5, -1.5]], np.float32)).tolist() == [[32767, 32767, -32768]]
