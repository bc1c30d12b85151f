import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.speech.vbx import MEETING, TELEPHONE, Paths, Settings, fit, forward_backward

Array = np.ndarray
seeds = st.integers(0, 2**32 - 1)


def slowly(scores: Array, priors: Array, loop: float) -> Paths:
    """Forward-backward as it is written in textbooks: every speaker from every speaker, loop by loop."""
    count, speakers = scores.shape
    step = [
        [(before == after) * loop + (1 - loop) * priors[after] for after in range(speakers)]
        for before in range(speakers)
    ]
    said = np.exp(scores)
    forward, backward = np.zeros((count, speakers)), np.ones((count, speakers))
    for at in range(count):
        for now in range(speakers):
            came = priors[now] if at == 0 else sum(forward[at - 1, then] * step[then][now] for then in range(speakers))
            forward[at, now] = came * said[at, now]
    for at in reversed(range(count - 1)):
        for now in range(speakers):
            goes = [step[now][next_] * said[at + 1, next_] * backward[at + 1, next_] for next_ in range(speakers)]
            backward[at, now] = sum(goes)
    total = forward[-1].sum()
    entered = [
        (
            forward[0, now] * backward[0, now]
            + sum(
                forward[at - 1].sum() * (1 - loop) * priors[now] * said[at, now] * backward[at, now]
                for at in range(1, count)
            )
        )
        / total
        for now in range(speakers)
    ]
    return Paths(forward * backward / total, np.array(entered), float(np.log(total)))


@settings(deadline=None)
@given(seed=seeds, count=st.integers(1, 12), speakers=st.integers(1, 5), loop=st.floats(0.01, 0.99))
def test_the_fast_forward_backward_is_the_slow_one(seed: int, count: int, speakers: int, loop: float) -> None:
    rng = np.random.default_rng(seed)
    scores, priors = rng.normal(0, 3, (count, speakers)), rng.dirichlet(np.ones(speakers))
    fast, slow = forward_backward(scores, priors, loop), slowly(scores, priors, loop)
    np.testing.assert_allclose(fast.responsibilities, slow.responsibilities, rtol=0, atol=1e-10)
    np.testing.assert_allclose(fast.entered, slow.entered, rtol=1e-10, atol=1e-10)
    assert fast.log_likelihood == pytest.approx(slow.log_likelihood, abs=1e-10)


@settings(deadline=None)
@given(seed=seeds, count=st.integers(1, 40), speakers=st.integers(1, 5), loop=st.floats(0.01, 0.99))
def test_someone_speaks_at_every_time_however_unlikely(seed: int, count: int, speakers: int, loop: float) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 3000, (count, speakers))  # far beyond what exp() can hold
    priors = rng.dirichlet(np.full(speakers, 0.01))  # some of them 0
    found = forward_backward(scores, priors, loop)
    assert np.isfinite(found.log_likelihood)
    np.testing.assert_allclose(found.responsibilities.sum(axis=1), 1, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds,
    count=st.integers(1, 60),
    clusters=st.integers(1, 6),
    chosen=st.builds(Settings, fa=st.floats(0.05, 2), fb=st.floats(0.5, 50), loop=st.floats(0.05, 0.99)),
)
def test_the_bound_never_falls(seed: int, count: int, clusters: int, chosen: Settings) -> None:
    rng = np.random.default_rng(seed)
    between = rng.uniform(0.2, 6, 4)
    features = rng.normal(0, 1, (count, 4)) + rng.normal(0, np.sqrt(between), (3, 4))[rng.integers(0, 3, count)]
    started = rng.dirichlet(np.ones(clusters), count)
    found = fit(features, between, started, chosen)
    rises = np.diff(found.bounds)
    assert (rises >= -1e-9 * max(1, *map(abs, found.bounds))).all()
    assert found.priors.sum() == pytest.approx(1)


def test_speakers_that_are_not_needed_lose_their_priors() -> None:
    rng = np.random.default_rng(0)
    between = np.full(16, 4.0)
    speakers = rng.normal(0, 2, (2, 16))
    features = speakers[np.repeat([0, 1, 0, 1], 50)] + rng.normal(0, 1, (200, 16))
    found = fit(features, between, np.eye(8)[rng.integers(0, 8, 200)] * 0.5 + 0.5 / 8, MEETING)
    assert (found.priors > 0.05).sum() == 2
    assert (found.priors < 1e-6).sum() == 6


@pytest.mark.parametrize("wrong", [{"loop": 0.0}, {"loop": 1.0}, {"fa": 0.0}, {"fb": -1.0}])
def test_parameters_with_which_there_is_no_such_model_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        Settings(**wrong)


def test_the_published_parameters_are_the_defaults() -> None:
    assert Settings(threshold=-0.015, smoothing=5.0, fa=0.3, fb=17.0, loop=0.99) == MEETING
    assert Settings(threshold=-0.015, smoothing=7.0, fa=0.4, fb=17.0, loop=0.4) == TELEPHONE
