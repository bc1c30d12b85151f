from collections.abc import Callable

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.emotion.abstention import NEIGHBOURS, Band, Limits, distances, out_of_domain, placed, refer, unfit
from streams.domain.unlabelled import Unlabelled

Voice = Callable[..., NDArray[np.float32]]

LIMITS = Limits(min_ms=1_000, max_ms=20_000, demo_only=False)


def reason(window: NDArray[np.floating], rate: int = 8000, band: Band = Band.TELEPHONE) -> Unlabelled | None:
    return unfit(window.astype(np.float32), rate, LIMITS, band)


def test_what_cannot_be_judged_has_its_reason(voice: Voice) -> None:
    hiss = np.random.default_rng(0).normal(0, 0.1, 24_000)
    assert reason(voice(seconds=0.99)) is Unlabelled.TOO_SHORT
    assert reason(voice(seconds=20.01)) is Unlabelled.TOO_LONG
    assert reason(np.zeros(24_000)) is Unlabelled.SILENT
    assert reason(np.full(24_000, 0.5)) is Unlabelled.SILENT  # a constant offset is no sound
    assert reason(np.clip(voice() * 200, -1, 1)) is Unlabelled.CLIPPED
    assert reason(hiss) is Unlabelled.UNVOICED
    assert reason(voice(seconds=1)) is None
    assert reason(voice(seconds=20)) is None


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_have_failed(voice: Voice, poison: float) -> None:
    bad = voice()
    bad[100] = poison
    assert reason(bad) is Unlabelled.NOT_FINITE


def test_where_a_wide_band_was_learnt_a_telephones_is_too_narrow(voice: Voice) -> None:
    narrow = soxr.resample(voice(), 8000, 16_000)
    wide = narrow + np.random.default_rng(0).normal(0, 1e-3, len(narrow))
    assert reason(narrow, 16_000, Band.WIDE) is Unlabelled.BANDWIDTH
    assert reason(wide, 16_000, Band.WIDE) is None
    assert reason(narrow, 16_000) is None
    assert reason(voice(), 8000, Band.WIDE) is None


def test_the_rate_of_a_window_changes_nothing_about_its_limits(voice: Voice) -> None:
    assert reason(soxr.resample(voice(seconds=0.99), 8000, 16_000), 16_000) is Unlabelled.TOO_SHORT
    assert reason(soxr.resample(voice(seconds=1.01), 8000, 16_000), 16_000) is None


@given(seed=st.integers(0, 2**32 - 1), windows=st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_a_distance_is_that_of_the_fifth_nearest(seed: int, windows: int) -> None:
    random = np.random.default_rng(seed)
    points, others = (random.normal(size=(n, 7)).astype(np.float32) for n in (4, windows))
    slowly = [sorted(np.linalg.norm(others - point, axis=1))[min(NEIGHBOURS, windows) - 1] for point in points]
    np.testing.assert_allclose(distances(points, others), slowly, rtol=1e-4, atol=1e-4)


def test_the_limit_is_of_distances_to_other_groups_alone() -> None:
    """Two voices, each all but constant: within a voice windows lie close, and that counts for nothing."""
    points = np.repeat(np.array([[0.0, 0.0], [3.0, 4.0]], np.float32), 10, axis=0)
    assert refer(points, np.repeat([0, 1], 10).astype(np.int32)).limit == pytest.approx(5)


def test_one_window_in_a_hundred_lies_beyond_the_limit_of_those_that_made_it() -> None:
    random = np.random.default_rng(0)
    points = random.normal(size=(1000, 5)).astype(np.float32)
    reference = refer(points, np.repeat(np.arange(10), 100).astype(np.int32))
    assert out_of_domain(reference, random.normal(size=(4000, 5)).astype(np.float32)).mean() == pytest.approx(
        0.01, abs=0.01
    )
    assert out_of_domain(reference, np.full((1, 5), 9, np.float32)).all()


@pytest.mark.parametrize("value", [np.nan, 1e30, -1e30])
def test_what_is_no_number_or_beyond_all_measure_is_out_of_domain(value: float) -> None:
    reference = refer(np.eye(6, 3, dtype=np.float32), np.arange(6, dtype=np.int32))
    assert out_of_domain(reference, placed(np.full((1, 3), value), np.zeros(3), np.ones(3))).all()
