from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from services.emotion import model
from services.emotion.bundle import DEMO, Bundle, load_bundle
from services.emotion.features.functionals import contours, functionals
from services.emotion.model import judge, outcome_of
from streams.domain.records import Outcome
from streams.domain.unlabelled import Unlabelled

Voice = Callable[..., NDArray[np.float32]]


@pytest.fixture(scope="module")
def demo() -> Bundle:
    return load_bundle(DEMO)


def reason(bundle: Bundle, window: NDArray[np.floating]) -> Unlabelled | None:
    judged = judge(bundle, [window.astype(np.float32)])
    given = all((rows > 0).all() for rows in judged.probabilities.values())
    assert given == (judged.reasons[0] is None)
    return judged.reasons[0]


def test_a_voice_gets_probabilities_of_every_head_that_sum_to_one(demo: Bundle, voice: Voice) -> None:
    judged = judge(demo, [voice()])
    assert judged.reasons == (None,)
    for head, classes in demo.manifest.scheme.heads.items():
        assert judged.probabilities[head].shape == (1, len(classes))
        assert judged.probabilities[head].sum() == pytest.approx(1, abs=1e-6)


def test_what_the_bundle_was_not_made_for_is_abstained_from_with_its_reason(demo: Bundle, voice: Voice) -> None:
    hiss = np.random.default_rng(0).normal(0, 0.1, 24_000)
    assert reason(demo, voice(seconds=0.99)) is Unlabelled.TOO_SHORT
    assert reason(demo, voice(seconds=20.01)) is Unlabelled.TOO_LONG
    assert reason(demo, np.zeros(24_000)) is Unlabelled.SILENT
    assert reason(demo, np.full(24_000, 0.5)) is Unlabelled.SILENT  # a constant offset is no sound
    assert reason(demo, np.clip(voice() * 200, -1, 1)) is Unlabelled.CLIPPED
    assert reason(demo, hiss) is Unlabelled.UNVOICED
    assert reason(demo, voice(seconds=1)) is None
    assert reason(demo, voice(seconds=20)) is None


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_fail_their_window_alone(demo: Bundle, voice: Voice, poison: float) -> None:
    bad = voice()
    bad[100] = poison
    judged = judge(demo, [voice(), bad, voice(200)])
    assert judged.reasons == (None, Unlabelled.NOT_FINITE, None)
    assert not judged.probabilities["category.full"][1].any()


def test_scores_that_are_no_numbers_never_become_a_label(demo: Bundle, voice: Voice) -> None:
    broken = replace(demo, heads=replace(demo.heads, intercept=np.full_like(demo.heads.intercept, np.nan)))
    assert judge(broken, [voice()]).reasons == (Unlabelled.NOT_FINITE,)


@pytest.mark.parametrize("step", ["contours", "decisions"])
def test_a_window_at_which_the_model_raises_fails_alone(
    demo: Bundle, voice: Voice, step: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    culprits = {"contours": voice(200), "decisions": functionals(contours(voice(200)))[None]}
    honest = getattr(model, step)

    def raising(*given: Any) -> Any:  # noqa: ANN401 - stands for either step
        if (np.atleast_2d(given[-1])[:, None] == culprits[step]).all(axis=-1).any():
            raise ValueError("the customer's words")
        return honest(*given)

    alone = judge(demo, [voice()])
    monkeypatch.setattr(model, step, raising)
    judged = judge(demo, [voice(), voice(200), voice()])

    assert judged.reasons == (None, Unlabelled.MODEL_ERROR, None)
    for head, rows in judged.probabilities.items():
        assert not rows[1].any()
        np.testing.assert_allclose(rows[[0, 2]], alone.probabilities[head][[0, 0]], atol=1e-6)
    assert [(record.message, record.error) for record in caplog.records] == [
        ("the model failed at a window", "ValueError")
    ]  # type: ignore[attr-defined]
    assert "customer's words" not in caplog.text


def test_neighbours_do_not_change_a_windows_judgement(demo: Bundle, voice: Voice) -> None:
    windows = [voice(hertz, seconds=seconds) for hertz, seconds in ((90, 2.5), (220, 7), (0.5, 3), (310, 12))]
    together = judge(demo, windows)
    for at, window in enumerate(windows):
        alone = judge(demo, [window])
        assert alone.reasons[0] == together.reasons[at]
        for head, rows in alone.probabilities.items():
            np.testing.assert_allclose(together.probabilities[head][at], rows[0], atol=1e-6)


def test_no_windows_give_no_judgements(demo: Bundle) -> None:
    judged = judge(demo, [])
    assert judged.reasons == ()
    assert all(rows.shape[0] == 0 for rows in judged.probabilities.values())


def test_every_reason_belongs_to_one_outcome() -> None:
    assert outcome_of(None) is Outcome.LABELLED
    failed = {it for it in Unlabelled if outcome_of(it) is Outcome.FAILED}
    assert failed == {Unlabelled.NOT_FINITE, Unlabelled.MODEL_ERROR, Unlabelled.REFUSED}
