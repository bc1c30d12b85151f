import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score

from services.training.measures import class_f1, class_precision, class_recall, confusion, macro_f1, uar

CLASSES = [0, 1, 2]
PAIRS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40)


@given(PAIRS)
def test_each_classes_measures_are_scikit_learns_and_no_number_where_there_is_nothing_to_measure(
    pairs: list[tuple[int, int]],
) -> None:
    wanted, said = np.array(pairs).T
    table = confusion(wanted, said, 3)
    theirs = {"labels": CLASSES, "average": None, "zero_division": np.nan}
    np.testing.assert_allclose(class_f1(table), f1_score(wanted, said, **theirs))
    np.testing.assert_allclose(class_precision(table), precision_score(wanted, said, **theirs))
    np.testing.assert_allclose(class_recall(table), recall_score(wanted, said, **theirs))


@given(PAIRS)
def test_means_are_over_the_classes_that_can_be_measured(pairs: list[tuple[int, int]]) -> None:
    wanted, said = np.array(pairs).T
    table = confusion(wanted, said, 3)
    assert float(macro_f1(table)) == pytest.approx(np.nanmean(class_f1(table)))
    assert float(uar(table)) == pytest.approx(np.nanmean(class_recall(table)))


def test_a_table_of_nothing_measures_0() -> None:
    """A resample of the rarest calls can hold no window of a head."""
    assert float(macro_f1(np.zeros((3, 3), np.int64))) == 0
