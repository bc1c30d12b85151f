import numpy as np
import pytest

from services.emotion.features.feature import FeatureError
from services.emotion.features.opensmile import SETS, OpenSmile

Array = np.ndarray


def voice(seconds: float, hertz: float = 140) -> Array:
    time = np.arange(int(seconds * 16_000)) / 16_000
    tone = sum(np.sin(2 * np.pi * hertz * n * time) / n for n in range(1, 20))
    return (0.1 * tone * (1 + np.sin(20 * time))).astype(np.float32)


@pytest.mark.parametrize("name", SETS)
def test_a_window_is_described_alike_in_any_batch_by_as_many_values_as_the_set_has(name: str) -> None:
    feature = OpenSmile(name)
    windows = [voice(1.5), voice(0.4, 220), voice(2.5, 90)]
    together = feature.vectors(windows)
    assert (together.shape, together.dtype) == ((3, 1, {"egemaps": 88, "compare16": 6373}[name]), np.float32)
    assert np.isfinite(together).all()
    for at, window in enumerate(windows):
        assert np.array_equal(feature.vectors([window])[0], together[at])
    assert feature.vectors([]).shape == (0, 1, feature.values)


def test_the_pitch_is_egemaps_first_value() -> None:
    found = OpenSmile("egemaps").vectors([voice(2, hertz) for hertz in (110, 220)])[:, 0, 0]
    assert np.diff(found) == pytest.approx(12, abs=0.5)  # semitones


def test_silence_has_numbers_for_values() -> None:
    for name in SETS:
        assert np.isfinite(OpenSmile(name).vectors([np.zeros(16_000, np.float32)])).all()


def test_a_window_without_frames_is_refused() -> None:
    with pytest.raises(FeatureError, match=r"egemaps: a window under 0\.1 s is too short"):
        OpenSmile("egemaps").vectors([voice(0.09)])


def test_a_feature_says_what_its_licence_forbids_and_which_release_it_is_of() -> None:
    feature = OpenSmile("compare16")
    assert "forbids commercial use" in feature.licence
    assert feature.version.startswith("ComParE_2016 2.")
