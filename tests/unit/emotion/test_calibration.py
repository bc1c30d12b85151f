import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from services.emotion.calibration import Sigmoid, probabilities, said

ROWS = arrays(np.float64, (4, 3), elements=st.floats(-50, 50))
SIGMOIDS = st.lists(st.builds(Sigmoid, st.floats(-20, 5), st.floats(-20, 20)), min_size=3, max_size=3)


def test_the_class_said_is_that_of_the_largest_decision_value() -> None:
    assert said({"mood": np.array([[0.2, -0.1], [-3.0, -2.0]])})["mood"].tolist() == [0, 1]


@given(rows=ROWS, sigmoids=SIGMOIDS)
def test_probabilities_sum_to_one_and_none_is_over_that_of_the_class_said(
    rows: np.ndarray, sigmoids: list[Sigmoid]
) -> None:
    found = probabilities({"mood": sigmoids}, {"mood": rows})["mood"]
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert ((found >= 0) & (found <= 1)).all()
    assert (found[np.arange(4), rows.argmax(axis=1)] >= found.max(axis=1) - 1e-12).all()


def test_where_platt_agrees_with_the_decision_his_probabilities_are_kept() -> None:
    found = probabilities({"mood": [Sigmoid(-2, 0), Sigmoid(-2, 0)]}, {"mood": np.array([[1.0, -1.0]])})["mood"]
    np.testing.assert_allclose(found, [[1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))]])


def test_where_platt_holds_another_class_for_likelier_both_get_their_mean_and_the_rest_stays() -> None:
    sigmoids = [Sigmoid(-1, 3), Sigmoid(-1, 0), Sigmoid(-1, 5)]
    alone = 1 / (1 + np.exp([3 - 0.2, 0 - 0.1, 5 + 1.0]))
    found = probabilities({"mood": sigmoids}, {"mood": np.array([[0.2, 0.1, -1.0]])})["mood"][0]
    shares = alone / alone.sum()
    np.testing.assert_allclose(found, [shares[:2].mean(), shares[:2].mean(), shares[2]])


def test_a_head_that_is_not_calibrated_has_a_class_and_no_probabilities() -> None:
    rows = {"mood": np.array([[1.0, 0.0]]), "pace": np.array([[0.0, 1.0]])}
    assert said(rows).keys() == {"mood", "pace"}
    assert probabilities({"mood": [Sigmoid(-1, 0)] * 2}, rows).keys() == {"mood"}
