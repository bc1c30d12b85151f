import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, f1_score, recall_score

from services.training.evaluate import calibrated, confusion, ece, held_out, macro_f1, scored, uar
from services.training.machines import targets
from streams.domain.schemes import EMODB

CATEGORIES = np.array(["anger", "happiness", "neutral", "sadness"])
SPEAKERS = np.repeat(["01", "02", "03", "04", "05"], 16)
LABELS = np.tile(CATEGORIES, 20)
PAIRS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40)


def quiet() -> None:
    """A progress bar that nobody watches."""


@given(PAIRS)
def test_measures_are_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    wanted, said = np.array(pairs).T
    table = confusion(wanted, said, 3)
    np.testing.assert_array_equal(table, confusion_matrix(wanted, said, labels=[0, 1, 2]))
    present = np.unique(wanted)
    assert uar(table) == pytest.approx(recall_score(wanted, said, labels=present, average="macro", zero_division=0))
    assert macro_f1(table) == pytest.approx(f1_score(wanted, said, average="macro", zero_division=0))


def test_calibration_error_is_the_gap_between_certainty_and_truth() -> None:
    rows = np.tile([0.2, 0.8], (100, 1))
    assert ece(rows, np.array([1] * 80 + [0] * 20)[np.random.default_rng(0).permutation(100)]) < 0.15
    assert ece(rows, np.zeros(100, np.int64)) == pytest.approx(0.8)


def test_machines_never_hear_the_speaker_that_they_are_judged_on() -> None:
    """Every speaker says its labels in a code of its own: who was heard in training would be right."""
    random = np.random.default_rng(0)
    wanted = targets(EMODB, LABELS.tolist())
    codes = {speaker: random.permutation(4) for speaker in np.unique(SPEAKERS)}
    vectors = np.zeros((80, 40), np.float32)
    for at, (speaker, label) in enumerate(zip(SPEAKERS, wanted["category.full"], strict=True)):
        vectors[at, 4 * int(speaker) + codes[speaker][label]] = 1
    rows = held_out(EMODB, vectors, wanted, SPEAKERS, quiet)
    for head in wanted:  # each class's score is the same for all that an unheard speaker says
        for speaker in np.unique(SPEAKERS):
            assert np.ptp(rows[head][speaker == SPEAKERS], axis=0).max() < 1e-9


def test_a_feature_that_holds_the_label_is_found_and_one_that_does_not_gives_chance() -> None:
    random = np.random.default_rng(1)
    wanted = targets(EMODB, LABELS.tolist())
    noise = random.normal(size=(80, 10)).astype(np.float32)
    telling = np.hstack([noise, 10 * np.eye(4, dtype=np.float32)[wanted["category.full"]].repeat(4, axis=1)])
    good = scored(calibrated(EMODB, telling, wanted, SPEAKERS, quiet), wanted, SPEAKERS)
    bad = scored(calibrated(EMODB, noise, wanted, SPEAKERS, quiet), wanted, SPEAKERS)
    assert good["category.full"]["uar"].value == 1
    assert bad["category.full"]["uar"].low <= 0.25 <= bad["category.full"]["uar"].high + 0.05
    assert bad["category.full"]["uar"].low < bad["category.full"]["uar"].high


def test_calibrated_probabilities_sum_to_one() -> None:
    wanted = targets(EMODB, LABELS.tolist())
    vectors = np.random.default_rng(2).normal(size=(80, 6)).astype(np.float32)
    ticks: list[int] = []
    rows = calibrated(EMODB, vectors, wanted, SPEAKERS, lambda: ticks.append(1))
    assert len(ticks) == 5 * 4
    for head in wanted:
        np.testing.assert_allclose(rows[head].sum(axis=1), 1)
