import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.emotion.heads import Heads, decisions, probabilities

CLASSES = {"mood.full": ("good", "bad", "none"), "mood.binary": ("some", "none")}


def heads(seed: int, *, sharp: float = 2.0) -> Heads:
    random = np.random.default_rng(seed)
    return Heads(
        classes=CLASSES,
        mean=random.normal(size=4),
        scale=random.uniform(0.5, 2, 4),
        support=random.normal(size=(6, 4)).astype(np.float32),
        dual=random.normal(size=(6, 5)),
        intercept=random.normal(size=5),
        sharpness=np.full(2, sharp),
        gamma=0.25,
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


@given(seed=st.integers(0, 2**32 - 1), sharp=st.floats(0.1, 20))
@settings(max_examples=50, deadline=None)
def test_probabilities_sum_to_one_and_keep_the_order_of_the_decisions(seed: int, sharp: float) -> None:
    made = heads(seed, sharp=sharp)
    scores = decisions(made, np.random.default_rng(seed).normal(size=(5, 4)))
    for head, rows in probabilities(made, scores).items():
        np.testing.assert_allclose(rows.sum(axis=1), 1)
        assert (rows.argmax(axis=1) == scores[head].argmax(axis=1)).all()


def test_a_far_away_window_gets_numbers_all_the_same() -> None:
    made = heads(0)
    rows = probabilities(made, decisions(made, np.full((1, 4), 1e6)))
    assert all(np.isfinite(row).all() for row in rows.values())
