from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.emotion.features import voice as contours
from services.emotion.features.functionals2 import (
    RIDGE,
    Functionals2,
    Functionals2Wide,
    _log_covariance,
    functionals,
    names,
)
from services.emotion.features.registry import open_feature
from services.emotion.features.voice import voice as contours_of

Voice = Callable[..., NDArray[np.float32]]
RATE = Functionals2.rate


def vector(samples: NDArray[np.float32], rate: int = RATE) -> NDArray[np.float32]:
    return functionals(contours_of(samples, rate))


def named(samples: NDArray[np.float32]) -> dict[str, float]:
    return dict(zip(names(RATE), vector(samples).tolist(), strict=True))


@pytest.mark.parametrize("feature", [Functionals2(), Functionals2Wide()])
def test_every_value_has_a_name_of_its_own(voice: Voice, feature: Functionals2) -> None:
    made = feature.vectors([voice(), voice(seconds=1)])
    assert made.dtype == np.float32
    assert made.shape == (2, 1, feature.values)
    assert feature.values == len(set(names(feature.rate)))


@pytest.mark.parametrize("name", ["functionals-2", "functionals-2-wide"])
def test_the_registry_opens_both_bands(name: str) -> None:
    assert open_feature(name).name == name


def test_a_windows_vector_is_the_same_whatever_else_is_in_the_batch(voice: Voice) -> None:
    together = Functionals2().vectors([voice(200), voice(110, seconds=2)])[1, 0]
    np.testing.assert_array_equal(together, vector(voice(110, seconds=2)))


@pytest.mark.parametrize("gain", [0.02, 0.5, 3.0])
def test_the_level_of_a_recording_changes_nothing(voice: Voice, gain: float) -> None:
    np.testing.assert_allclose(vector(voice() * np.float32(gain)), vector(voice()), rtol=1e-3, atol=0.05)


def test_a_constant_offset_changes_nothing(voice: Voice) -> None:
    np.testing.assert_allclose(vector(voice() + np.float32(0.1)), vector(voice()), rtol=1e-3, atol=0.05)


def test_silence_around_a_voice_leaves_its_vowels_as_they_are(voice: Voice) -> None:
    silence = np.zeros(RATE // 2, np.float32)
    plain, padded = named(voice()), named(np.concatenate([silence, voice(), silence]))
    vowels = [name for name in plain if name.startswith("mel") and name.endswith(".voiced_mean")]
    assert len(vowels) == contours.BANDS
    for name in vowels:
        assert padded[name] == pytest.approx(plain[name], abs=1)  # dB


def test_a_longer_window_of_the_same_voice_sounds_the_same(voice: Voice) -> None:
    short, long = named(voice(seconds=3)), named(voice(seconds=12))
    for name in ("mel5.voiced_mean", "h1_h2.voiced_mean", "pitch.p50", "mel3.delta_abs", "rhythm.peaks_s"):
        assert long[name] == pytest.approx(short[name], abs=0.35)


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("hertz", [75, 100, 140, 200, 280, 390])
def test_the_pitch_of_a_voice_is_found(hertz: float, rate: int) -> None:
    time = np.arange(2 * rate) / rate
    tone = sum(np.sin(2 * np.pi * hertz * n * time) / n for n in range(1, int(3800 / hertz) + 1))
    found = contours_of(np.asarray(tone, np.float32), rate)
    assert found.voiced.mean() > 0.95
    np.testing.assert_allclose(np.median(found.pitch[found.voiced]), 12 * np.log2(hertz / 62.5), atol=0.3)


def test_a_rising_voice_rises_by_its_slope() -> None:
    time = np.arange(2 * RATE) / RATE
    hertz = 120 * 2 ** (6 * time / 12)  # six semitones a second
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    tone = sum(np.sin(n * phase) / n for n in range(1, 12)).astype(np.float32)
    assert named(tone)["pitch.slope"] == pytest.approx(6, abs=0.3)


def test_harmonics_stand_out_of_a_voice_and_not_of_hiss(voice: Voice) -> None:
    hiss = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32)
    column = contours.QUALITY.index("harmonics12")
    voiced = contours_of(voice(), RATE)
    assert np.median(voiced.quality[voiced.voiced, column]) > 10
    assert abs(np.median(contours_of(hiss, RATE).quality[:, column])) < 5


@pytest.mark.parametrize(("tempo", "band"), [(1.5, "1_2hz"), (3, "2_4hz"), (6, "4_8hz"), (12, "8_16hz")])
def test_the_tempo_of_syllables_shows_in_its_modulation_band(voice: Voice, tempo: float, band: str) -> None:
    found = named(voice(seconds=4, syllables_hz=tempo))
    swings = {name: value for name, value in found.items() if name.startswith("mel5.modulation")}
    assert max(swings, key=lambda name: swings[name]) == f"mel5.modulation_{band}"


def test_both_bands_hear_the_telephones_part_alike(voice: Voice) -> None:
    narrow = voice()
    spectrum = np.fft.rfft(narrow)
    wide = 2 * np.fft.irfft(np.pad(spectrum, (0, len(spectrum) - 1)), 2 * len(narrow)).astype(np.float32)
    first, second = contours_of(narrow, 8000), contours_of(wide, 16000)
    np.testing.assert_allclose(second.mel[:, : contours.BANDS], first.mel, atol=0.3)
    np.testing.assert_allclose(second.cepstra, first.cepstra, atol=0.6)


def test_a_covariances_logarithm_is_that_of_its_matrix(voice: Voice) -> None:
    found = contours_of(voice(), RATE)
    values = found.cepstra[found.active].astype(np.float64)
    size = values.shape[1]
    logarithm = np.zeros((size, size))
    logarithm[np.triu_indices(size)] = _log_covariance(values.astype(np.float32))
    logarithm = logarithm + np.triu(logarithm, 1).T
    powers = [np.eye(size)]
    for order in range(1, 60):  # the exponential's series, scaled and squared
        powers.append(powers[-1] @ (logarithm / 16) / order)
    back = np.linalg.matrix_power(sum(powers), 16)
    np.testing.assert_allclose(back, np.cov(values.T, bias=True) + RIDGE * np.eye(size), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("seconds", [0.048, 0.06, 0.2, 3, 20])
def test_silence_and_tones_give_numbers(seconds: float, rate: int) -> None:
    length = round(seconds * rate)
    tone = np.sin(np.arange(length) * 0.3).astype(np.float32)
    for samples in (np.zeros(length, np.float32), np.full(length, 0.5, np.float32), tone):
        assert np.isfinite(vector(samples, rate)).all()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["noise", "clicks", "steps", "tone", "bursts"]),
    rate=st.sampled_from([8000, 16000]),
)
def test_no_sound_gives_values_that_are_no_numbers(seed: int, kind: str, rate: int) -> None:
    random = np.random.default_rng(seed)
    length = int(random.integers(rate * contours.FRAME_MS // 1000, 5 * rate))
    samples = {
        "noise": lambda: random.normal(0, 10 ** random.uniform(-4, 0), length),
        "clicks": lambda: (random.random(length) < 1e-3).astype(float),
        "steps": lambda: np.sign(np.sin(np.arange(length) * random.uniform(0.001, 1))),
        "tone": lambda: np.sin(np.arange(length) * random.uniform(0.01, 3)),
        "bursts": lambda: random.normal(0, 0.3, length) * (np.sin(np.arange(length) / 4000) > 0.99),
    }[kind]()
    assert np.isfinite(vector(samples.astype(np.float32), rate)).all()
