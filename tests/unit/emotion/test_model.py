from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from services.emotion import model
from services.emotion.bundle import DEMO, Bundle, load_bundle
from services.emotion.heads import fast
from services.emotion.model import NO_CLASS, judge, names, outcome_of
from services.training.sounds import KINDS, sounds
from streams.domain.records import Outcome
from streams.domain.unlabelled import Unlabelled

Window = NDArray[np.float32]
Voice = Callable[..., Window]
Speech = Callable[[int], Window]


@pytest.fixture(scope="module")
def demo() -> Bundle:
    return load_bundle(DEMO)


def test_speech_gets_a_class_and_probabilities_of_every_head_that_sum_to_one(demo: Bundle, speech: Speech) -> None:
    judged = judge(demo, [speech(0)])
    assert judged.reasons == (None,)
    for head, classes in demo.manifest.scheme.heads.items():
        assert judged.probabilities[head].shape == (1, len(classes))
        assert judged.probabilities[head].sum() == pytest.approx(1, abs=1e-6)
        assert judged.probabilities[head][0, judged.classes[head][0]] == judged.probabilities[head].max()


def test_a_window_that_cannot_be_judged_has_its_reason_and_nothing_else(demo: Bundle) -> None:
    judged = judge(demo, [np.zeros(24_000, np.float32)])
    assert judged.reasons == (Unlabelled.SILENT,)
    assert all(rows.tolist() == [NO_CLASS] for rows in judged.classes.values())
    assert not any(rows.any() for rows in judged.probabilities.values())
    assert names(demo, judged, 0) == ({}, {})


def test_of_a_window_out_of_domain_it_is_told_why_and_what_would_be_said(demo: Bundle, voice: Voice) -> None:
    judged = judge(demo, [voice()])
    assert judged.reasons == (Unlabelled.DISTANCE,)
    classes, heads = names(demo, judged, 0)
    assert classes.keys() == heads.keys() == demo.manifest.scheme.heads.keys()


def test_no_sound_that_is_no_speech_is_taken_for_speech(demo: Bundle) -> None:
    made = list(sounds(np.random.default_rng(1), each=4))
    judged = judge(demo, [samples for _, samples in made])
    assert {kind for kind, _ in made} == set(KINDS)
    assert [kind for (kind, _), reason in zip(made, judged.reasons, strict=True) if reason is None] == []


def test_a_head_that_is_not_calibrated_says_its_class_alone(demo: Bundle, speech: Speech) -> None:
    kept = {head: sigmoids for head, sigmoids in demo.manifest.calibration.items() if head != "category.full"}
    bundle = replace(demo, manifest=msgspec.structs.replace(demo.manifest, calibration=kept))
    classes, heads = names(bundle, judge(bundle, [speech(0)]), 0)
    assert bundle.manifest.uncalibrated == ("category.full",)
    assert classes["category.full"] == "neutral"
    assert heads.keys() == kept.keys()


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_fail_their_window_alone(demo: Bundle, speech: Speech, poison: float) -> None:
    bad = speech(0).copy()
    bad[100] = poison
    judged = judge(demo, [speech(0), bad, speech(1)])
    assert judged.reasons == (None, Unlabelled.NOT_FINITE, None)
    assert not judged.probabilities["category.full"][1].any()


def test_scores_that_are_no_numbers_never_become_a_label(demo: Bundle, speech: Speech) -> None:
    broken = replace(demo.heads, intercept=np.full_like(demo.heads.intercept, np.nan))
    assert judge(replace(demo, judges=fast(broken)), [speech(0)]).reasons == (Unlabelled.NOT_FINITE,)


class Ill:
    """A feature that raises, or gives no numbers, at one window alone."""

    name, version, rate, layers = "ill", "1", 8000, 1

    def __init__(self, well: Any, culprit: Window, *, raises: bool) -> None:  # noqa: ANN401 - any feature
        self._well, self._culprit, self._raises = well, culprit, raises
        self.values = well.values

    def vectors(self, windows: list[Window]) -> Window:
        at = [len(window) == len(self._culprit) and bool((window == self._culprit).all()) for window in windows]
        if any(at) and self._raises:
            raise ValueError("the customer's words")
        found = self._well.vectors(windows)
        found[at] = np.nan
        return found


@pytest.mark.parametrize(
    ("raises", "reason"), [(True, Unlabelled.MODEL_ERROR), (False, Unlabelled.NOT_FINITE)], ids=["raises", "nan"]
)
def test_a_window_at_which_the_feature_fails_fails_alone(
    demo: Bundle, speech: Speech, caplog: pytest.LogCaptureFixture, *, raises: bool, reason: Unlabelled
) -> None:
    alone = judge(demo, [speech(0)])
    ill = replace(demo, feature=Ill(demo.feature, speech(1), raises=raises))
    judged = judge(ill, [speech(0), speech(1), speech(0)])

    assert judged.reasons == (None, reason, None)
    for head, rows in judged.probabilities.items():
        assert not rows[1].any()
        np.testing.assert_allclose(rows[[0, 2]], alone.probabilities[head][[0, 0]], atol=1e-4)
    assert [record.message for record in caplog.records] == ["the model failed at a window"] * raises
    assert "customer's words" not in caplog.text


def test_a_window_at_which_the_machines_raise_fails_alone(
    demo: Bundle, speech: Speech, monkeypatch: pytest.MonkeyPatch
) -> None:
    culprit, honest = demo.feature.vectors([speech(1)])[0, 0], model.scored

    def raising(made: Any, vectors: Window) -> Any:  # noqa: ANN401 - stands for the real one
        if (vectors == culprit).all(axis=1).any():
            raise ValueError("the customer's words")
        return honest(made, vectors)

    monkeypatch.setattr(model, "scored", raising)
    assert judge(demo, [speech(0), speech(1), speech(2)]).reasons == (None, Unlabelled.MODEL_ERROR, None)


def test_memory_that_runs_out_is_the_machines_trouble_and_not_the_windows(
    demo: Bundle, speech: Speech, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(model, "scored", full)
    with pytest.raises(MemoryError):
        judge(demo, [speech(0)])


def test_a_gpu_that_has_no_memory_left_is_the_machines_trouble_too(
    demo: Bundle, speech: Speech, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(model, "scored", full)
    with pytest.raises(torch.OutOfMemoryError):
        judge(demo, [speech(0), speech(1)])


def test_neighbours_do_not_change_a_windows_judgement(demo: Bundle, voice: Voice, speech: Speech) -> None:
    windows = [voice(90, seconds=2.5), speech(0), voice(310, seconds=3), speech(2)]
    together = judge(demo, windows)
    for at, window in enumerate(windows):
        alone = judge(demo, [window])
        assert alone.reasons[0] == together.reasons[at]
        for head, rows in alone.probabilities.items():
            assert alone.classes[head][0] == together.classes[head][at]
            np.testing.assert_allclose(together.probabilities[head][at], rows[0], atol=1e-4)


def test_no_windows_give_no_judgements(demo: Bundle) -> None:
    judged = judge(demo, [])
    assert judged.reasons == ()
    assert all(rows.shape[0] == 0 for rows in judged.probabilities.values())


def test_every_reason_belongs_to_one_outcome() -> None:
    assert outcome_of(None) is Outcome.LABELLED
    abstained = {it for it in Unlabelled if outcome_of(it) is Outcome.ABSTAINED}
    assert abstained == {
        Unlabelled.TOO_SHORT,
        Unlabelled.TOO_LONG,
        Unlabelled.SILENT,
        Unlabelled.CLIPPED,
        Unlabelled.UNVOICED,
        Unlabelled.BANDWIDTH,
        Unlabelled.DISTANCE,
    }


def test_the_demo_bundle_says_the_same_of_a_window_in_any_company(demo: Bundle, speech: Speech) -> None:
    windows = [speech(at) for at in range(4)]
    together = judge(demo, windows)
    for at, window in enumerate(windows):
        alone = judge(demo, [window])
        for head, shares in alone.probabilities.items():
            np.testing.assert_allclose(shares[0], together.probabilities[head][at], rtol=0, atol=1e-6)
