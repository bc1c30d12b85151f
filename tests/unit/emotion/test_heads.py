import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.emotion import heads as module
from services.emotion.heads import MARGIN, Fast, Heads, Product, decisions, fast, fast_decisions, scored
from services.emotion.heads_on_device import on

CLASSES = {"mood.full": ("good", "bad", "none"), "mood.binary": ("some", "none")}


def heads(seed: int, *, vectors: int = 6, values: int = 4, gamma: float = 0.25) -> Heads:
    random = np.random.default_rng(seed)
    return Heads(
        classes=CLASSES,
        mean=random.normal(size=values),
        scale=random.uniform(0.5, 2, values),
        support=random.normal(size=(vectors, values)).astype(np.float32),
        dual=random.normal(size=(vectors, 5)),
        intercept=random.normal(size=5),
        gamma=gamma,
    )


def slowly(made: Heads, vector: np.ndarray, column: int) -> float:
    """The machine's formula, term by term."""
    point = np.clip((vector - made.mean) / made.scale, -3, 3).astype(np.float32)
    total = float(made.intercept[column])
    for support, dual in zip(made.support, made.dual[:, column], strict=True):
        distance = sum((float(a) - float(b)) ** 2 for a, b in zip(point, support, strict=True))
        total += dual * math.exp(-made.gamma * distance)
    return total


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_packed_machines_are_the_formula(seed: int) -> None:
    made = heads(seed)
    vectors = np.random.default_rng(seed + 1).normal(size=(3, 4))
    found = decisions(made, vectors)
    columns = np.hstack([found["mood.full"], found["mood.binary"]])
    wanted = [[slowly(made, vector, column) for column in range(5)] for vector in vectors]
    np.testing.assert_allclose(columns, wanted, atol=1e-12)


def test_a_far_away_window_gets_numbers_all_the_same() -> None:
    made = heads(0)
    rows = decisions(made, np.full((1, 4), 1e6))
    assert all(np.isfinite(row).all() for row in rows.values())


@given(blocks=st.integers(1, 7))
def test_blocks_of_support_vectors_add_up(blocks: int) -> None:
    made, vectors = heads(4), np.random.default_rng(5).normal(size=(3, 4))
    whole = decisions(made, vectors)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "BLOCK", blocks)
        for head, rows in decisions(made, vectors).items():
            np.testing.assert_allclose(rows, whole[head], atol=1e-12)


@given(seed=st.integers(0, 2**32 - 1), windows=st.integers(0, 5), batch=st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_the_fast_path_says_what_the_exact_one_says(seed: int, windows: int, batch: int) -> None:
    made = heads(seed)
    vectors = np.random.default_rng(seed + 1).normal(size=(windows, 4))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "BATCH", batch)
        found, _ = fast_decisions(fast(made), vectors)
    for head, rows in decisions(made, vectors).items():
        assert found[head].shape == rows.shape
        np.testing.assert_allclose(found[head], rows, atol=MARGIN / 3)


def borders(made: Heads, count: int) -> np.ndarray:
    """Windows between which and the next float32 a label changes: bisected between two windows of different labels."""
    random = np.random.default_rng(7)
    ones, others = np.split(random.normal(0, 2, (8 * count, len(made.mean))), 2)
    label = decisions(made, ones)["mood.full"].argmax(axis=1)
    differ = np.flatnonzero(label != decisions(made, others)["mood.full"].argmax(axis=1))[:count]
    ones, others, label = ones[differ], others[differ], label[differ]
    for _ in range(22):
        middles = (ones + others) / 2
        same = (decisions(made, middles)["mood.full"].argmax(axis=1) == label)[:, None]
        ones, others = np.where(same, middles, ones), np.where(same, others, middles)
    return ones


@pytest.mark.parametrize("stretch", [1, 1e5])
def test_the_fast_path_flips_no_label_of_ten_thousand_windows_on_the_very_border(stretch: float) -> None:
    """Coefficients may be large, and float32 wrong by more than the least margin."""
    made = replace(heads(8, vectors=100, values=16, gamma=1 / 16), intercept=np.zeros(5))
    made = replace(made, dual=made.dual * stretch)
    windows = borders(made, 10_000)
    assert len(windows) == 10_000
    ready = fast(made)
    found, again = fast_decisions(ready, windows)
    exact = decisions(made, windows)
    assert all((found[head].argmax(axis=1) == exact[head].argmax(axis=1)).all() for head in exact)
    assert again.mean() > 0.9
    assert (ready.margin > MARGIN) == (stretch > 1)
    rough, _ = fast_decisions(replace(ready, margin=0.0), windows)  # in float32 alone some are wrong
    assert (rough["mood.full"].argmax(axis=1) != exact["mood.full"].argmax(axis=1)).any()


def test_the_fast_path_scores_again_what_is_close_and_nothing_else() -> None:
    made = heads(8, vectors=100, values=16, gamma=1 / 16)
    near = borders(made, 2_000)
    windows = near + np.random.default_rng(9).normal(0, 1e-4, near.shape)
    _, again = fast_decisions(fast(made), windows)
    ordered = [np.sort(rows, axis=1) for rows in decisions(made, windows).values()]
    margins = np.min([rows[:, -1] - rows[:, -2] for rows in ordered], axis=0)
    assert not again[margins > MARGIN * 1.3].any()
    assert again[margins < MARGIN * 0.7].all()
    assert 0.05 < again.mean() < 0.95


def test_what_float32_cannot_hold_is_scored_exactly() -> None:
    made = heads(10, gamma=60.0)
    windows = made.mean + made.scale * made.support
    found, again = fast_decisions(fast(made), windows)
    assert again.all()
    for head, rows in decisions(made, windows).items():
        np.testing.assert_array_equal(found[head], rows)


@pytest.mark.parametrize("elsewhere", [None, on("cpu")], ids=["numpy", "torch"])
def test_of_many_support_vectors_too_a_windows_neighbours_change_nothing(
    elsewhere: Callable[[Fast], Product] | None,
) -> None:
    made = fast(heads(11, vectors=8_000, values=1_024, gamma=1 / 1_024), elsewhere)
    windows = np.random.default_rng(12).normal(size=(64, 1_024))
    alone = [scored(made, window[None]) for window in windows]
    for count in (2, 17, 64):
        for head, rows in scored(made, windows[:count]).items():
            np.testing.assert_allclose(rows, np.vstack([each[head] for each in alone[:count]]), atol=1e-5, rtol=0)
