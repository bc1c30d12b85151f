import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import _sigmoid_calibration

from services.emotion.calibration import Sigmoid
from services.training.calibrate import ENOUGH, calibration, ece, ece_if_perfect, platt
from services.training.harmonise import NONE


def drawn(seed: int, slope: float, offset: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    scores = random.normal(0, 1.5, n)
    return scores, random.random(n) < 1 / (1 + np.exp(slope * scores + offset))


def test_the_sigmoid_that_made_the_labels_is_found() -> None:
    found = platt(*drawn(1, -2.0, 0.5, 20_000))
    assert (found.slope, found.offset) == (pytest.approx(-2, abs=0.1), pytest.approx(0.5, abs=0.1))


@given(seed=st.integers(0, 2**32 - 1), slope=st.floats(-5, 0), offset=st.floats(-2, 2), n=st.integers(30, 300))
@settings(max_examples=30, deadline=None)
def test_newton_comes_to_scikit_learns_sigmoid(seed: int, slope: float, offset: float, n: int) -> None:
    scores, is_class = drawn(seed, slope, offset, n)
    theirs = _sigmoid_calibration(scores, is_class.astype(np.int64))
    mine = platt(scores, is_class)
    at = np.linspace(-3, 3, 20)
    np.testing.assert_allclose(share(mine, at), share(Sigmoid(*theirs), at), atol=2e-3)


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.booleans()), min_size=1, max_size=40))
def test_no_scores_give_a_sigmoid_that_is_no_number(pairs: list[tuple[float, bool]]) -> None:
    scores, is_class = map(np.array, zip(*pairs, strict=True))
    found = platt(scores, is_class)
    assert np.isfinite([found.slope, found.offset]).all()


def test_classes_that_are_told_apart_without_fault_are_not_certain_on_few_windows() -> None:
    scores = np.repeat([-1.0, 1.0], 5)
    assert share(platt(scores, scores > 0), np.array([1.0]))[0] == pytest.approx(6 / 7, abs=1e-3)


def share(sigmoid: Sigmoid, at: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(sigmoid.slope * at + sigmoid.offset))


def test_two_classes_that_mirror_each_other_have_sigmoids_that_do() -> None:
    scores, is_class = drawn(2, -1.0, 1.0, 200)
    one, other = platt(scores, is_class), platt(-scores, ~is_class)
    assert (one.slope, one.offset) == (pytest.approx(other.slope, abs=1e-4), pytest.approx(-other.offset, abs=1e-4))


@pytest.mark.parametrize(("few", "given"), [(ENOUGH - 1, False), (ENOUGH, True)])
def test_under_thirty_held_out_windows_of_a_class_its_head_gets_no_probabilities(few: int, *, given: bool) -> None:
    wanted = np.array([0] * 50 + [1] * few)
    scores = np.random.default_rng(0).normal(size=(len(wanted), 2))
    plenty = np.arange(len(wanted)) % 2
    assert calibration({"a": scores, "b": scores}, {"a": wanted, "b": plenty}).keys() == (
        {"a", "b"} if given else {"b"}
    )


def test_windows_that_have_no_class_under_a_head_have_no_part_in_its_calibration() -> None:
    wanted, random = np.arange(80) % 2, np.random.default_rng(4)
    scores = random.normal(size=(80, 2))
    with_others = np.vstack([scores, random.normal(size=(5, 2))]), np.append(wanted, [NONE] * 5)
    assert calibration({"h": scores}, {"h": wanted}) == calibration({"h": with_others[0]}, {"h": with_others[1]})


def test_calibration_error_is_the_gap_between_certainty_and_truth() -> None:
    certainty = np.full(100, 0.8)
    right = np.arange(100) % 5 > 0
    assert ece(certainty, right) == pytest.approx(0)
    assert ece(certainty, ~right) == pytest.approx(0.6)
    assert ece(np.array([0.6, 0.6, 1.0, 1.0]), np.array([True, False, True, False])) == pytest.approx(
        (0.4 + 0.6 + 1) / 4
    )


def test_a_perfect_model_shows_an_error_too_which_falls_with_the_number_of_windows() -> None:
    random = np.random.default_rng(0)
    few, many = (ece_if_perfect(random.uniform(0.5, 1, n), draws=200, seed=1).mean() for n in (100, 10_000))
    assert 0.05 < few < 0.15
    assert many == pytest.approx(few / 10, rel=0.3)
