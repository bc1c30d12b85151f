import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.emotion.features.prosody import RATE, STEP, Prosody, names, prosody, static
from services.emotion.features.rapt import Range, f0

Array = np.ndarray

#: What DisVoice 0.1.10's own functions give for `utterance`, on NumPy 1.26 and SciPy.
DISVOICE = [
    170.5345,
    25.38737,
    224.1167,
    120,
    -0.0454095,
    -0.82338,
    14.01249,
    5.801302,
    68.96816,
    2.102662,
    77.38765,
    7.617934,
    -84.78565,
    1.177489,
    -0.5015135,
    -1.23356,
    -1.629432,
    0.177092,
    128.5927,
    4.451124,
    139.4279,
    120,
    0.7033659,
    0.5326202,
    199.6058,
    3.314453,
    207.4005,
    192,
    0.07747114,
    0.8771215,
    -8.301493,
    2.372459,
    -0.5629567,
    -0.6588773,
    -3.039543,
    32.37415,
    0.5691627,
    -0.2262751,
    1.86308,
    2.504431,
    1.012709,
    -0.7402714,
    -3.642462,
    0.6902043,
    -3.031145,
    -5.270852,
    -1.026794,
    -0.2239681,
    -3.772687,
    0.8138111,
    -2.99668,
    -5.850968,
    -1.128386,
    0.1773885,
    -36.25485,
    0.005239257,
    -0.3061915,
    -1.410047,
    0.3007795,
    0.6262288,
    1.060611,
    -0.2679292,
    9.256518e-07,
    7.168738e-07,
    0.5035042,
    -0.8161705,
    -36.3087,
    0.01208667,
    -36.29333,
    -36.32286,
    0.1498837,
    -1.5,
    -36.1989,
    0.002126015,
    -36.19684,
    -36.20183,
    -0.5404572,
    -1.5,
    2,
    0.2625,
    0.1699816,
    0.3295963,
    -0.3594097,
    0.59,
    0,
    0.05166667,
    0.0328718,
    1.288274,
    0.293297,
    0.12,
    0.02,
    0.29,
    0.04082483,
    -1.991807e-15,
    -1.5,
    0.34,
    0.24,
    0.9230769,
    5.612903,
    0.1644562,
    0.8355438,
    0.9051724,
    0.1781609,
]


def utterance() -> tuple[Array, Array]:
    """Four seconds with known pitch: nine voiced runs, consonants and pauses between them."""
    pitch = np.zeros(400)
    runs = [(5, 22), (40, 9), (52, 31), (90, 1), (95, 40), (160, 25), (190, 60), (280, 30), (345, 20)]
    for at, (start, length) in enumerate(runs):
        frame = np.arange(length)
        pitch[start : start + length] = 120 + 9 * at + 0.8 * frame * (-1) ** at + 4 * np.sin(frame / 3)
    time = np.arange(400 * STEP) / RATE
    level = 0.02 + np.repeat(pitch > 0, STEP) * (0.5 + 0.4 * np.sin(7 * time))
    samples = level * np.sin(2 * np.pi * 150 * time + 3 * np.sin(5 * time))
    return samples / np.abs(samples).max(), pitch


def tone(hertz: float, seconds: float = 1.0) -> Array:
    time = np.arange(int(seconds * RATE)) / RATE
    return sum(np.sin(2 * np.pi * hertz * n * time) / n for n in range(1, 8)).astype(np.float32) * 0.2


def test_given_the_same_pitch_every_value_is_disvoices() -> None:
    np.testing.assert_allclose(static(*utterance()), DISVOICE, rtol=2e-6, atol=2e-9)


def test_every_value_has_a_name_of_its_own() -> None:
    assert len(names()) == len(set(names())) == Prosody().values == 103
    found = dict(zip(names(), static(*utterance()), strict=True))
    assert found["f0.max"] == utterance()[1].max()
    assert found["pause_over_unvoiced"] == pytest.approx(found["pause_s.mean"] / found["unvoiced_s.mean"])
    assert found["voiced_energy.first_max"] > found["unvoiced_energy.first_max"] + 20


@pytest.mark.parametrize("hertz", [75, 100, 140, 200, 280, 330])
def test_the_pitch_of_a_voice_is_found(hertz: float) -> None:
    inside = f0(tone(hertz), RATE, Range())[5:-5]
    np.testing.assert_allclose(inside, hertz, rtol=0.005)


def test_a_gliding_pitch_is_followed_without_leaps() -> None:
    time = np.arange(2 * RATE) / RATE
    hertz = 120 + 50 * time
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    samples = sum(np.sin(n * phase) / n for n in range(1, 8)).astype(np.float32) * 0.2
    np.testing.assert_allclose(f0(samples, RATE, Range())[5:-5], hertz[::STEP][5:-5], rtol=0.02)


@pytest.mark.parametrize("bias", [-0.2, 0.0])
def test_hiss_is_not_voiced(bias: float) -> None:
    hiss = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32)
    assert (f0(hiss, RATE, Range(voice_bias=bias)) > 0).mean() < 0.05


def test_a_voice_between_pauses_is_found_where_it_is() -> None:
    quiet = np.random.default_rng(0).normal(0, 1e-3, RATE).astype(np.float32)
    voiced = f0(np.concatenate([quiet, tone(150), quiet]), RATE, Range()) > 0
    assert not voiced[:95].any()
    assert voiced[105:195].all()
    assert not voiced[205:].any()


@pytest.mark.parametrize("gain", [0.02, 3.0])
def test_the_level_of_a_recording_changes_nothing(gain: float) -> None:
    window = tone(140) * np.sin(np.arange(RATE) / 2000).astype(np.float32)
    np.testing.assert_allclose(prosody(window * np.float32(gain)), prosody(window), rtol=1e-3, atol=1e-3)


def test_a_window_is_described_alike_in_any_batch() -> None:
    windows = [tone(140), tone(220, 0.7), tone(90, 1.3)]
    together = Prosody().vectors(windows)
    assert together.shape == (3, 1, 103)
    assert together.dtype == np.float32
    assert Prosody().vectors([]).shape == (0, 1, 103)
    for at, window in enumerate(windows):
        assert np.array_equal(Prosody().vectors([window])[0], together[at])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["noise", "clicks", "silence", "tone", "bursts", "constant"])
)
def test_no_sound_gives_values_that_are_no_numbers(seed: int, kind: str) -> None:
    random = np.random.default_rng(seed)
    length = int(random.integers(1, RATE))
    samples = {
        "noise": lambda: random.normal(0, 10 ** random.uniform(-4, 0), length),
        "clicks": lambda: (random.random(length) < 1e-3).astype(float),
        "silence": lambda: np.zeros(length),
        "tone": lambda: np.sin(np.arange(length) * random.uniform(0.01, 3)),
        "bursts": lambda: random.normal(0, 0.3, length) * (np.sin(np.arange(length) / 800) > 0.9),
        "constant": lambda: np.full(length, 0.3),
    }[kind]()
    found = prosody(samples.astype(np.float32))
    assert found.shape == (103,)
    assert np.isfinite(found).all()
