import numpy as np
import pytest

from streams.speech.levels import STEP_DB, decibels, levels


def test_a_doubling_of_power_is_eight_steps() -> None:
    powers = np.float32(2.0) ** np.arange(-21, 10, dtype=np.float32)
    assert levels(powers).tolist() == [8 * n for n in range(31)]


def test_a_level_is_within_a_step_of_the_logarithm() -> None:
    powers = np.geomspace(1e-6, 1e3, 1000, dtype=np.float32)
    exact = 10 * np.log10(powers / 2.0**-21) / STEP_DB
    assert np.abs(levels(powers) - exact + 0.5).max() < 1.3


def test_what_is_too_faint_or_too_loud_is_the_lowest_or_the_highest() -> None:
    assert levels(np.array([0, 1e-30, 1e30], np.float32)).tolist() == [0, 0, 255]


@pytest.mark.parametrize(("number", "steps"), [(3.0103, 8), (0, 0), (-6.0206, -16)])
def test_decibels_are_counted_in_steps(number: float, steps: int) -> None:
    assert decibels(number) == steps
