import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, f1_score, recall_score

from services.emotion.heads import decisions
from services.training import evaluate
from services.training.evaluate import FOLDS, calibrated, fit_calibrated, folds, held_out, scored
from services.training.harmonise import NONE
from services.training.machines import targets
from services.training.measures import confusion, macro_f1, uar
from streams.domain.schemes import EMODB

CATEGORIES = np.array(["anger", "happiness", "neutral", "sadness"])
SPEAKERS = np.repeat(["01", "02", "03", "04", "05"], 48)
LABELS = np.tile(CATEGORIES, 60)
PAIRS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40)


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "RESAMPLES", 100)


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


@given(st.lists(st.integers(0, 30), min_size=2, max_size=80).filter(lambda groups: len(set(groups)) > 1))
def test_every_group_is_left_out_once_and_whole(numbers: list[int]) -> None:
    groups = np.array([f"c{number}" for number in numbers])
    masks = list(folds(groups))
    assert len(masks) == min(FOLDS, len(set(numbers)))
    np.testing.assert_array_equal(np.sum(masks, axis=0), 1)
    for mask in masks:
        assert not set(groups[mask]) & set(groups[~mask])


def test_what_describes_a_held_out_group_is_chosen_without_it() -> None:
    """As a hidden layer is: a card would else tell how well a layer suits the windows that it is judged on."""
    chosen: list[set[str]] = []

    def described(known: NDArray[np.bool_]) -> NDArray[np.float32]:
        chosen.append(set(np.unique(SPEAKERS[~known])))
        return np.random.default_rng(0).normal(size=(len(LABELS), 1, 4)).astype(np.float32)

    calibrated(EMODB, described, targets(EMODB, LABELS.tolist()), SPEAKERS, quiet)
    assert sorted(map(sorted, chosen)) == [[speaker] for speaker in np.unique(SPEAKERS)]


@pytest.mark.parametrize("copies", [0, 2])
def test_machines_never_hear_the_speaker_that_they_are_judged_on_nor_a_copy(copies: int) -> None:
    """Every speaker says its labels in a code of its own: who was heard in training would be right."""
    random = np.random.default_rng(0)
    wanted = targets(EMODB, LABELS.tolist())
    codes = {speaker: random.permutation(4) for speaker in np.unique(SPEAKERS)}
    vectors = np.zeros((len(LABELS), 40), np.float32)
    for at, (speaker, label) in enumerate(zip(SPEAKERS, wanted["category.full"], strict=True)):
        vectors[at, 4 * int(speaker) + codes[speaker][label]] = 1
    versions = np.repeat(vectors[:, None], 1 + copies, axis=1)
    rows = held_out(EMODB, versions, wanted, SPEAKERS, quiet)
    for head in wanted:  # each class's score is the same for all that an unheard speaker says
        for speaker in np.unique(SPEAKERS):
            assert np.ptp(rows[head][speaker == SPEAKERS], axis=0).max() < 1e-9


def test_copies_are_learnt_from_and_never_judged() -> None:
    """Windows tell their label in one way and their copies in another: both ways are learnt, the first is asked for."""
    wanted, random = targets(EMODB, LABELS.tolist()), np.random.default_rng(5)
    told = 5 * np.eye(4)[wanted["category.full"]]
    windows, copies = np.hstack([0 * told, told]), np.hstack([told, 0 * told])
    versions = (np.stack([windows, copies], axis=1) + random.normal(size=(len(LABELS), 2, 8))).astype(np.float32)
    heads, _ = fit_calibrated(EMODB, versions, wanted, SPEAKERS, quiet)
    for version in (0, 1):
        said = decisions(heads, versions[:, version])["category.full"].argmax(axis=1)
        assert (said == wanted["category.full"]).mean() > 0.95
    deaf = versions.copy()
    deaf[:, 0] = random.normal(size=deaf[:, 0].shape)
    found = held_out(EMODB, deaf, wanted, SPEAKERS, quiet)["category.full"]
    assert (found.argmax(axis=1) == wanted["category.full"]).mean() < 0.5


def test_a_feature_that_holds_the_label_is_found_and_one_that_does_not_gives_chance() -> None:
    random = np.random.default_rng(1)
    wanted = targets(EMODB, LABELS.tolist())
    noise = random.normal(size=(len(LABELS), 10)).astype(np.float32)
    telling = np.hstack([noise, 10 * np.eye(4, dtype=np.float32)[wanted["category.full"]].repeat(4, axis=1)])
    good, bad = (
        scored(calibrated(EMODB, lambda _, rows=rows: rows[:, None], wanted, SPEAKERS, quiet), wanted, SPEAKERS)
        for rows in (telling, noise)
    )
    assert good["category.full"]["uar"].value == 1
    assert bad["category.full"]["uar"].low <= 0.25 <= bad["category.full"]["uar"].high + 0.05
    assert bad["category.full"]["uar"].low < bad["category.full"]["uar"].high
    assert good["category.full"]["ece"].value < 0.1 < bad["category.full"]["ece_if_perfect"].high * 2


def test_calibrated_probabilities_sum_to_one_and_hold_no_class_for_likelier_than_the_one_said() -> None:
    wanted = targets(EMODB, LABELS.tolist())
    vectors = np.random.default_rng(2).normal(size=(len(LABELS), 1, 6)).astype(np.float32)
    ticks: list[int] = []
    found = calibrated(EMODB, lambda _: vectors, wanted, SPEAKERS, lambda: ticks.append(1))
    assert len(ticks) == 5 * 4
    for head, rows in found.probabilities.items():
        np.testing.assert_allclose(rows.sum(axis=1), 1)
        said = found.decisions[head].argmax(axis=1)
        assert (rows[np.arange(len(rows)), said] >= rows.max(axis=1) - 1e-12).all()


def test_a_head_with_too_few_windows_of_a_class_has_classes_and_no_calibration_error() -> None:
    wanted = targets(EMODB, LABELS.tolist())
    wanted["arousal.full"] = np.where(np.arange(len(LABELS)) % 4, wanted["arousal.full"], NONE)
    few = {head: np.where(np.arange(len(LABELS)) < 60, classes, NONE) for head, classes in wanted.items()}
    vectors = np.random.default_rng(3).normal(size=(len(LABELS), 1, 6)).astype(np.float32)
    speakers = np.tile(["01", "02", "03"], 80)
    scores = scored(
        calibrated(EMODB, lambda _: vectors, wanted | {"category.full": few["category.full"]}, speakers, quiet),
        wanted,
        speakers,
    )
    assert scores["category.full"].keys() == {"uar", "macro_f1"}
    assert scores["arousal.full"].keys() == {"uar", "macro_f1", "ece", "ece_if_perfect"}
