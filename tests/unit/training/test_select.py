"""Which windows are worth annotating next, on pools that are planted so that the answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.svm import SVC

from services.training.select import select, standardised, uncertainty

SIZES = (400, 400, 30, 30, 20, 20, 10, 10)  #: windows of each kind: two are common, the others rare
BUDGET = 20


def blobs(
    seed: int, sizes: tuple[int, ...] = SIZES
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Vectors (n, 6) of each kind around a place of its own, the kinds, and their classes: every other kind's."""
    places = np.random.default_rng(7).normal(0, 4, (len(sizes), 6))
    kinds = np.repeat(np.arange(len(sizes)), sizes)
    vectors = places[kinds] + np.random.default_rng(seed).normal(0, 1, (len(kinds), 6))
    return vectors.astype(np.float32), kinds, kinds % 2


def taught(vectors: NDArray[np.float32], classes: NDArray[np.int64]) -> SVC:
    return SVC(C=1, gamma=0.05, class_weight="balanced").fit(vectors, classes)


def shares(model: SVC, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    sure = 1 / (1 + np.exp(-2 * model.decision_function(vectors)))
    return np.stack([1 - sure, sure], axis=1).astype(np.float32)


def recall(model: SVC, seed: int) -> float:
    """Over fresh windows, as many of each kind."""
    vectors, _, classes = blobs(seed + 1000, (40,) * len(SIZES))
    return float((model.predict(vectors) == classes).mean())


def test_what_is_selected_teaches_more_than_what_is_drawn_at_random() -> None:
    gains, covered = [], []
    for seed in range(5):
        vectors, kinds, classes = blobs(seed)
        known = np.concatenate([np.flatnonzero(kinds == kind)[:5] for kind in (0, 1)])  # of the common kinds alone
        pool = np.setdiff1d(np.arange(len(vectors)), known)
        before = taught(vectors[known], classes[known])
        chosen = {
            "selected": select({"class": shares(before, vectors[pool])}, vectors[pool], BUDGET, seed=seed),
            "random": np.random.default_rng(seed).choice(len(pool), BUDGET, replace=False),
        }
        after = {
            how: recall(taught(vectors[both], classes[both]), seed)
            for how, at in chosen.items()
            for both in [np.concatenate([known, pool[at]])]
        }
        gains.append(after["selected"] - after["random"])
        covered.append([len(set(kinds[pool[at]].tolist()) - {0, 1}) for at in chosen.values()])
    assert np.mean(gains) > 0.1
    assert min(gains) > 0
    selected, random = np.mean(covered, axis=0)
    assert selected > random + 1


def test_sure_windows_are_left_out_and_copies_of_one_doubtful_window_do_not_fill_the_budget() -> None:
    sure, doubtful = [0.99, 0.01], [0.5, 0.5]
    vectors = np.zeros((1000, 3), np.float32)
    vectors[900:990] = 1  # ninety copies of one doubtful window
    vectors[990:] = np.eye(10, 3, dtype=np.float32) + np.arange(10)[:, None]  # ten others
    probabilities = np.array([sure] * 900 + [doubtful] * 100, np.float32)
    chosen = select({"class": probabilities}, vectors, 11)
    assert chosen.min() >= 900
    assert set(chosen.tolist()) >= set(range(990, 1000))


def test_uncertainty_is_the_mean_entropy_of_the_heads_as_a_share_of_the_highest() -> None:
    two = np.array([[0.5, 0.5], [1, 0], [0.9, 0.1]], np.float32)
    four = np.array([[0.25] * 4, [0, 1, 0, 0], [0.5, 0.5, 0, 0]], np.float32)
    found = uncertainty({"a": two, "b": four})
    assert found == pytest.approx([1.0, 0.0, (0.469 + 0.5) / 2], abs=1e-3)


def test_values_on_whatever_scale_count_alike() -> None:
    vectors, _, _ = blobs(1)
    drawn = np.random.default_rng(1).dirichlet((1, 1, 1), len(vectors)).astype(np.float32)
    scaled = vectors * np.array([1e4, 1, 1e-3, 1, 1, 1], np.float32) + 5
    assert select({"class": drawn}, scaled, 15).tolist() == select({"class": drawn}, vectors, 15).tolist()


def test_a_value_that_never_changes_says_nothing() -> None:
    assert not standardised(np.full((4, 2), 3.0, np.float32)).any()


@st.composite
def pools(draw: st.DrawFn) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float32]]:
    size, seed = draw(st.integers(0, 60)), draw(st.integers(0, 2**16))
    drawn = np.random.default_rng(seed)
    vectors = drawn.integers(0, draw(st.integers(1, 5)), (size, 3)).astype(np.float32)  # many of them alike
    return {f"head{k}": drawn.dirichlet(np.ones(k), size).astype(np.float32) for k in (2, 3)}, vectors


@settings(deadline=None)
@given(pools(), st.integers(0, 80), st.integers(0, 9))
def test_as_many_windows_are_chosen_as_are_asked_for_each_once_the_most_uncertain_first(
    pool: tuple[dict[str, NDArray[np.float32]], NDArray[np.float32]], budget: int, seed: int
) -> None:
    probabilities, vectors = pool
    chosen = select(probabilities, vectors, budget, seed=seed)
    assert len(chosen) == len(set(chosen.tolist())) == min(budget, len(vectors))
    assert set(chosen.tolist()) <= set(range(len(vectors)))
    doubt = uncertainty(probabilities)[chosen]
    assert (np.diff(doubt) <= 0).all()
    assert chosen.tolist() == select(probabilities, vectors, budget, seed=seed).tolist()
