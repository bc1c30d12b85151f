import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.emotion.calibration import probabilities
from services.training.calibrate import ENOUGH, calibration
from services.training.evaluate import NETWORK_FOLDS, folds
from services.training.neural import calibrated

WINDOWS = 200
GROUPS = np.array([f"call{at % 10}" for at in range(WINDOWS)])
MASKS = list(folds(GROUPS, NETWORK_FOLDS))


def decided(seed: int) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.int64]]]:
    """Decisions of a head of two classes, right more often than not."""
    random = np.random.default_rng(seed)
    wanted = random.integers(2, size=WINDOWS)
    rows = random.normal(size=(WINDOWS, 2))
    rows[np.arange(WINDOWS), wanted] += 1
    return {"mood": rows}, {"mood": wanted}


def test_networks_are_judged_in_the_papers_five_parts() -> None:
    assert len(MASKS) == NETWORK_FOLDS == 5


@given(st.integers(0, 100), st.integers(0, NETWORK_FOLDS - 1))
@settings(max_examples=10, deadline=None)
def test_a_windows_probabilities_do_not_follow_from_its_own_class_or_those_of_its_fold(seed: int, fold: int) -> None:
    rows, wanted = decided(seed)
    swapped = {"mood": np.where(MASKS[fold], 1 - wanted["mood"], wanted["mood"])}
    one, other = (calibrated(rows, given_classes, MASKS).probabilities["mood"] for given_classes in (wanted, swapped))
    np.testing.assert_array_equal(one[MASKS[fold]], other[MASKS[fold]])
    assert not np.array_equal(one, other)


def test_a_folds_probabilities_are_by_sigmoids_of_the_other_folds() -> None:
    rows, wanted = decided(1)
    test = MASKS[2]
    sigmoids = calibration({"mood": rows["mood"][~test]}, {"mood": wanted["mood"][~test]})
    expected = probabilities(sigmoids, {"mood": rows["mood"][test]})["mood"]
    np.testing.assert_array_equal(calibrated(rows, wanted, MASKS).probabilities["mood"][test], expected)


def test_under_thirty_windows_of_a_class_in_the_other_folds_there_are_no_probabilities() -> None:
    rows, _ = decided(1)
    few = {"mood": (np.arange(WINDOWS) < ENOUGH).astype(np.int64)}  # six in every fold
    found = calibrated(rows, few, MASKS)
    assert np.isnan(found.probabilities["mood"]).all()
    assert np.isfinite(found.decisions["mood"]).all()
