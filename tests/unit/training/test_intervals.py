from collections.abc import Iterator

import numpy as np
import pytest
from confidence_intervals import Bootstrap, get_bootstrap_indices
from confidence_intervals import get_conf_int as interval_of_theirs
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import f1_score, recall_score
from unit.training.planted import CATEGORIES, corpus

from services.emotion.manifest import Score
from services.training.intervals import Unit, difference, draws, interval, overlap, resampled, tables, units
from services.training.measures import class_f1, class_precision, macro_f1, uar

RESAMPLES = 200
Counts = NDArray[np.int64]


def decisions(seed: int, windows: int = 150, classes: int = 3) -> tuple[Counts, Counts, Counts]:
    """True classes, what was said, and a conversation each; the last class is rare."""
    random = np.random.default_rng(seed)
    wanted = random.choice(classes, windows, p=[0.7, 0.25, 0.05])
    said = np.where(random.random(windows) < 0.6, wanted, random.integers(classes, size=windows))
    return wanted, said, random.integers(12, size=windows)


def as_draws(indices: list[Counts], count: int) -> Iterator[Counts]:
    """Their resamples, as lists of segments, in our form: how often each segment is in a resample."""
    yield np.stack([np.bincount(drawn, minlength=count) for drawn in indices])


def f1_of_theirs(labels: Counts, samples: Counts) -> float:
    return float(f1_score(labels, samples, average="macro", zero_division=0))


@pytest.mark.parametrize("by_conversation", [False, True], ids=["segments", "conversations and segments"])
def test_macro_f1_and_its_interval_are_the_confidence_intervals_packages_on_the_same_resamples(
    *, by_conversation: bool
) -> None:
    wanted, said, conversations = decisions(1)
    conditions = conversations if by_conversation else None
    theirs = Bootstrap(RESAMPLES, f1_of_theirs)
    low, high = theirs.get_conf_int(said, wanted, conditions)
    indices = [get_bootstrap_indices(len(wanted), conditions, random_state=at) for at in range(RESAMPLES)]
    each = tables(wanted, said, 3, np.arange(len(wanted)))
    ours = resampled(macro_f1, each, as_draws(indices, len(wanted)))
    np.testing.assert_allclose(ours, theirs._scores, atol=1e-12)
    found = interval(float(macro_f1(each.sum(axis=0))), ours)
    assert (found.value, found.low, found.high) == pytest.approx((f1_of_theirs(wanted, said), low, high), abs=1e-12)


def test_a_whole_conversation_is_drawn_with_all_its_segments() -> None:
    wanted, said, conversations = decisions(2)
    (drawn,) = draws(12, resamples=40)
    ours = resampled(macro_f1, tables(wanted, said, 3, conversations), iter([drawn]))
    segments = [np.repeat(np.arange(len(wanted)), weights[conversations]) for weights in drawn]
    theirs = [f1_of_theirs(wanted[at], said[at]) for at in segments]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    assert interval(0, ours).low == pytest.approx(interval_of_theirs(theirs)[0])


@given(st.integers(0, 2**32 - 1), st.integers(1, 130))
@settings(deadline=None, max_examples=30)
def test_every_resample_has_as_many_units_as_there_are_and_a_seed_repeats_it(seed: int, count: int) -> None:
    first, second = (np.concatenate(list(draws(count, resamples=60, seed=seed))) for _ in range(2))
    assert first.shape == (60, count)
    assert (first.sum(axis=1) == count).all()
    np.testing.assert_array_equal(first, second)


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25)
def test_a_stack_of_tables_is_measured_as_each_by_itself(seed: int) -> None:
    wanted, said, conversations = decisions(seed, windows=40)
    each = tables(wanted, said, 3, conversations)
    assert each.sum() == 40
    for measure in (macro_f1, uar, class_f1, class_precision):
        np.testing.assert_array_equal(measure(each), [measure(table) for table in each])


@given(st.integers(0, 2**32 - 1))
@example(198)  # a class that is said and never true
@settings(deadline=None, max_examples=25)
def test_recall_is_scikit_learns(seed: int) -> None:
    wanted, said, _ = decisions(seed)
    table = tables(wanted, said, 3, np.zeros(len(wanted), np.int64))[0]
    assert float(uar(table)) == pytest.approx(recall_score(wanted, said, labels=np.unique(wanted), average="macro"))


def test_two_systems_are_compared_on_the_same_resamples() -> None:
    """Two that differ in few segments differ little in any resample, far less than their own intervals are wide."""
    wanted, said, _ = decisions(3, windows=400)
    other = said.copy()
    wrong = np.flatnonzero(said != wanted)[:20]
    other[wrong] = wanted[wrong]
    each = np.stack([tables(wanted, heard, 3, np.arange(400)) for heard in (other, said)], axis=1)  # (units, 2, 3, 3)
    both = resampled(macro_f1, each, draws(400, resamples=500))  # (resamples, 2)
    found = difference(float(np.subtract(*macro_f1(each.sum(axis=0)))), both[:, 0] - both[:, 1])
    alone = interval(0, both[:, 1])
    assert 0 < found.low < found.value < found.high
    assert found.high - found.low < alone.high - alone.low
    assert found.p == pytest.approx(2 / 501)


def test_no_difference_is_found_where_there_is_none() -> None:
    same = difference(0, np.zeros(500))
    assert (same.low, same.high, same.p) == (0, 0, 1)


def test_p_is_uniform_where_there_is_no_difference() -> None:
    """Two coins on the same 200 segments: p below 0.1 in about a tenth of 300 worlds."""
    random = np.random.default_rng(4)
    wanted = np.zeros(200, np.int64)
    ps = []
    for _ in range(300):
        pair = random.integers(2, size=(2, 200))
        each = np.stack([tables(wanted, said, 2, np.arange(200)) for said in pair], axis=1)
        right = resampled(lambda some: some[..., 0, 0] / 200.0, each, draws(200, resamples=200))
        ps.append(difference(0, right[:, 0] - right[:, 1]).p)
    assert np.mean(np.array(ps) < 0.1) == pytest.approx(0.1, abs=0.05)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [(Unit.SEGMENT, [0, 1, 2, 3]), (Unit.CONVERSATION, [1, 1, 0, 2]), (Unit.SPEAKER, [0, 0, 0, 1])],
)
def test_what_is_drawn_together(unit: Unit, expected: list[int]) -> None:
    made = corpus(CATEGORIES, ["b", "b", "a", "c"], speakers=["x", "x", "x", "y"])
    assert units(made.segments, unit).tolist() == expected


def test_intervals_that_share_a_point_overlap() -> None:
    best = Score(0.7, 0.6, 0.8)
    assert overlap(best, Score(0.5, 0.4, 0.6))
    assert not overlap(best, Score(0.5, 0.4, 0.59))
    assert overlap(Score(0.5, 0.4, 0.9), best)
