from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.emotion.features import functionals as features
from services.emotion.features.functionals import contours, functionals, is_voiced, names

Voice = Callable[..., NDArray[np.float32]]


def vector(samples: NDArray[np.float32]) -> dict[str, float]:
    return dict(zip(names(), functionals(contours(samples)).tolist(), strict=True))


def test_every_value_has_a_name_of_its_own(voice: Voice) -> None:
    values = functionals(contours(voice()))
    assert values.dtype == np.float32
    assert len(values) == len(names()) == len(set(names()))


@pytest.mark.parametrize("gain", [0.02, 0.5, 3.0])
def test_the_level_of_a_recording_changes_nothing(voice: Voice, gain: float) -> None:
    plain, scaled = (functionals(contours(samples)) for samples in (voice(), voice() * np.float32(gain)))
    np.testing.assert_allclose(scaled, plain, rtol=1e-3, atol=0.02)


def test_a_constant_offset_changes_nothing(voice: Voice) -> None:
    plain, shifted = (functionals(contours(samples)) for samples in (voice(), voice() + np.float32(0.1)))
    np.testing.assert_allclose(shifted, plain, rtol=1e-3, atol=0.02)


@pytest.mark.parametrize("hertz", [75, 100, 140, 200, 280, 390])
def test_the_pitch_of_a_voice_is_found(voice: Voice, hertz: float) -> None:
    found = vector(voice(hertz))
    assert found["pitch.p50"] == pytest.approx(12 * np.log2(hertz / 62.5), abs=0.3)
    assert found["pitch.std"] < 1


def test_hiss_is_not_voiced() -> None:
    hiss = np.random.default_rng(0).normal(0, 0.1, 24_000).astype(np.float32)
    assert vector(hiss)["rhythm.voiced"] < 0.02


@pytest.mark.parametrize("voiced_s", [0.0, 0.1, 0.3, 2.0])
@pytest.mark.parametrize("hiss", [0.0, 0.003, 0.1])
def test_as_many_frames_are_voiced_whether_all_contours_are_taken_or_only_they_are_looked_for(
    voice: Voice, voiced_s: float, hiss: float
) -> None:
    rng, samples = np.random.default_rng(7), voice(seconds=3)
    samples[int(voiced_s * 8000) :] = 0
    samples += rng.normal(0, hiss + 1e-6, len(samples)).astype(np.float32)
    found = int(contours(samples).voiced.sum())
    assert [is_voiced(samples, least) for least in (found, found + 1)] == [True, False]


@pytest.mark.parametrize(("tempo", "band"), [(1.5, "1_2hz"), (3, "2_4hz"), (6, "4_8hz"), (12, "8_16hz")])
def test_the_tempo_of_syllables_shows_in_its_modulation_band(voice: Voice, tempo: float, band: str) -> None:
    found = vector(voice(seconds=4, syllables_hz=tempo))
    swings = {name: value for name, value in found.items() if name.startswith("mel5.modulation")}
    assert max(swings, key=lambda name: swings[name]) == f"mel5.modulation_{band}"


def test_syllables_are_counted(voice: Voice) -> None:
    assert vector(voice(seconds=4, syllables_hz=5))["rhythm.peaks_s"] == pytest.approx(5, abs=0.5)


def test_cepstra_are_an_orthonormal_basis() -> None:
    basis = features._cosines()
    np.testing.assert_allclose(basis.T @ basis, np.eye(features.CEPSTRA), atol=1e-6)


def test_every_frequency_of_the_line_is_in_a_band() -> None:
    hertz = np.fft.rfftfreq(features.FFT, 1 / features.RATE)
    inside = (hertz > 250) & (hertz < 3600)
    assert (features._mel_filters()[inside].sum(axis=1) > 0).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["noise", "clicks", "steps", "tone", "bursts"]))
def test_no_sound_gives_values_that_are_no_numbers(seed: int, kind: str) -> None:
    random = np.random.default_rng(seed)
    length = int(random.integers(features.FRAME, 20 * features.RATE))
    samples = {
        "noise": lambda: random.normal(0, 10 ** random.uniform(-4, 0), length),
        "clicks": lambda: (random.random(length) < 1e-3).astype(float),
        "steps": lambda: np.sign(np.sin(np.arange(length) * random.uniform(0.001, 1))),
        "tone": lambda: np.sin(np.arange(length) * random.uniform(0.01, 3)),
        "bursts": lambda: random.normal(0, 0.3, length) * (np.sin(np.arange(length) / 4000) > 0.99),
    }[kind]()
    if np.ptp(samples):
        assert np.isfinite(functionals(contours(samples.astype(np.float32)))).all()
