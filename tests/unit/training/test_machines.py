import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.emotion.heads import decisions, rounded, standardised
from services.training import machines as module
from services.training.errors import SchemeError
from services.training.harmonise import NONE
from services.training.machines import fit, machine, targets
from streams.domain.schemes import EMODB

LABELS = ["anger", "happiness", "neutral", "sadness"] * 15


def clouds(seed: int, *, spread: float = 3.0) -> np.ndarray:
    """Four overlapping clouds, one a label of `LABELS`: (60, 12)."""
    random = np.random.default_rng(seed)
    centres = random.normal(0, spread, (4, 12))
    return (centres[np.arange(60) % 4] + random.normal(0, 2, (60, 12))).astype(np.float32)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_packed_machines_decide_as_scikit_learns(seed: int) -> None:
    vectors, wanted = clouds(seed), targets(EMODB, LABELS)
    with pytest.MonkeyPatch.context() as patched:  # each machine with a kernel of its own, as scikit-learn has it
        patched.setattr(module, "KERNEL_BYTES", 0)
        heads = fit(EMODB, vectors, wanted)
    unheard = clouds(seed + 1)
    found = decisions(heads, unheard)
    points, known = (standardised(each, heads.mean, heads.scale) for each in (unheard, vectors))
    points, known = points.astype(np.float64), rounded(known).astype(np.float64)
    for head, classes in wanted.items():
        theirs = machine(heads.gamma).fit(known, classes).decision_function(points)
        ours = found[head] if theirs.ndim == 2 else found[head][:, 1]
        np.testing.assert_allclose(ours, theirs, atol=1e-10)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_machines_that_share_a_kernel_are_those_that_make_their_own(seed: int) -> None:
    """To the solver's tolerance, 1e-3: a kernel that is rounded otherwise may take it along another way."""
    vectors, wanted = clouds(seed), targets(EMODB, LABELS)
    shared = fit(EMODB, vectors, wanted)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "KERNEL_BYTES", 0)
        own = fit(EMODB, vectors, wanted)
    theirs = decisions(own, clouds(seed + 1))
    for head, rows in decisions(shared, clouds(seed + 1)).items():
        np.testing.assert_allclose(rows, theirs[head], atol=2e-3)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_a_head_is_fitted_on_the_windows_that_have_a_class_under_it(seed: int) -> None:
    random = np.random.default_rng(seed)
    vectors, wanted = clouds(seed), targets(EMODB, LABELS)
    some = random.random(60) < 0.8
    wanted["valence.full"] = np.where(some, wanted["valence.full"], NONE)
    wanted["valence.binary"] = np.where(some, wanted["valence.binary"], NONE)
    heads, points = fit(EMODB, vectors, wanted), clouds(seed + 1)
    known = rounded(standardised(vectors, heads.mean, heads.scale)).astype(np.float64)
    theirs = machine(heads.gamma).fit(known[some], wanted["valence.full"][some])
    theirs = theirs.decision_function(standardised(points, heads.mean, heads.scale).astype(np.float64))
    np.testing.assert_allclose(decisions(heads, points)["valence.full"], theirs, atol=2e-3)
    whole = fit(EMODB, vectors, targets(EMODB, LABELS))
    np.testing.assert_array_equal(heads.mean, whole.mean)
    np.testing.assert_allclose(
        decisions(heads, points)["category.full"], decisions(whole, points)["category.full"], atol=1e-10
    )


def test_labels_become_the_classes_of_every_head() -> None:
    found = targets(EMODB, ["anger", "happiness", "neutral", "sadness"])
    named = {head: [classes[at] for at in found[head]] for head, classes in EMODB.heads().items()}
    assert named == {
        "category.full": ["anger", "happiness", "neutral", "sadness"],
        "category.binary": ["emotional", "emotional", "neutral", "emotional"],
        "valence.full": ["negative", "positive", "neutral", "negative"],
        "valence.binary": ["negative", "rest", "rest", "negative"],
        "arousal.full": ["excited", "excited", "neutral", "neutral"],
    }


def test_a_label_that_the_scheme_does_not_know_is_named() -> None:
    with pytest.raises(SchemeError, match="no class of category for label 'boredom'"):
        targets(EMODB, [*LABELS, "boredom"])


def test_a_class_without_a_recording_is_named() -> None:
    with pytest.raises(SchemeError, match=r"head category\.full of scheme emodb: no recording of sadness"):
        targets(EMODB, ["anger", "happiness", "neutral"])


def test_a_constant_value_does_no_harm() -> None:
    vectors = clouds(1)
    vectors[:, 3] = 7
    heads = fit(EMODB, vectors, targets(EMODB, LABELS))
    assert all(np.isfinite(rows).all() for rows in decisions(heads, vectors).values())
