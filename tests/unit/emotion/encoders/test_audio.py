import numpy as np
import pytest
import soxr
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import Wav2Vec2FeatureExtractor

from services.emotion.encoders.audio import Ready, Recorded
from services.emotion.encoders.packing import Geometry, Room, pack

PUBLISHED = Geometry((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), 64)
CPU = torch.device("cpu")


def kept(tensor: Tensor) -> Tensor:
    return tensor


def wanted(window: Tensor, rate: int, *, normalised: bool) -> Tensor:
    """What a processor makes of a window by itself."""
    heard = window.numpy() if rate == 16_000 else soxr.resample(window.numpy(), rate, 16_000)
    if normalised:
        heard = Wav2Vec2FeatureExtractor()(heard, sampling_rate=16_000).input_values[0]
    return torch.from_numpy(heard)


@settings(max_examples=30)
@given(
    lengths=st.lists(st.integers(400, 20_000), min_size=1, max_size=5),
    rate=st.sampled_from([8_000, 16_000]),
    normalised=st.booleans(),
    seed=st.integers(0, 99),
)
def test_windows_become_what_soxr_and_transformers_make_of_each_by_itself(
    lengths: list[int], rate: int, normalised: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    windows = [torch.from_numpy((random.normal(0.1, 0.3, size)).astype(np.float32)) for size in lengths]
    audio = Recorded(rate, 16_000, normalised)
    packed = pack(PUBLISHED, [audio.factor * size for size in lengths], CPU)
    stream = audio.stream(windows, packed, 320, kept)
    assert stream.shape == (packed.samples,)
    rest = stream.clone()
    for start, window in zip(packed.starts, windows, strict=True):
        own = wanted(window, rate, normalised=normalised)
        torch.testing.assert_close(stream[start : start + len(own)], own, atol=1e-5, rtol=0)
        rest[start : start + len(own)] = 0
    assert not rest.any()


def test_nothing_is_heard_in_what_is_left_of_a_room() -> None:
    audio, windows = Recorded(8_000, 16_000, normalised=True), [torch.randn(8_000), torch.randn(4_000)]
    packed = pack(PUBLISHED, [16_000, 8_000], CPU, Room(slots=100, windows=5))
    stream = audio.stream(windows, packed, 320, kept)
    assert stream.shape == (32_000,)
    assert not stream[24_000:].any()
    torch.testing.assert_close(stream[:16_000], wanted(windows[0], 8_000, normalised=True), atol=1e-5, rtol=0)


@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_what_is_no_number_stays_in_its_window(rate: int) -> None:
    windows = [torch.randn(1_000), torch.randn(900), torch.randn(1_100)]
    windows[1][[0, 899]] = torch.nan
    audio = Recorded(rate, 16_000, normalised=True)
    packed = pack(PUBLISHED, [audio.factor * len(window) for window in windows], CPU)
    stream = audio.stream(windows, packed, 320, kept)
    _, start, end = packed.starts
    assert stream[:start].isfinite().all()
    assert stream[end:].isfinite().all()
    assert stream[start : start + 900 * audio.factor].isnan().all()


@pytest.mark.parametrize("loud", [0.0, 1e-4])
def test_silence_is_divided_by_no_zero(loud: float) -> None:
    audio, window = Recorded(8_000, 16_000, normalised=True), torch.full((4_000,), loud)
    stream = audio.stream([window], pack(PUBLISHED, [8_000], CPU), 320, kept)
    assert stream.isfinite().all()


def test_what_is_ready_is_sent_as_it_is() -> None:
    windows = [torch.randn(1_000), torch.randn(500)]
    packed = pack(PUBLISHED, [1_000, 500], CPU)
    stream = Ready(torch.float32).stream(windows, packed, 320, kept)
    assert torch.equal(stream[:1_000], windows[0])
    assert torch.equal(stream[1_280:1_780], windows[1])
    assert not stream[1_000:1_280].any()
