import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.emotion.features.fbank import vbx, wespeaker

#: Every eighth band of frames 7 and 60 of `voice(16_000, 1)` by torchaudio.compliance.kaldi.fbank 2.11.0, with the
#: settings of WeSpeaker's infer_onnx.py and dither=0.
WESPEAKER = {
    7: [1.375, 6.481, -1.526, 0.492, 0.546, 0.707, 0.723, 0.705, 0.617, 0.242],
    60: [-2.53, -5.491, -4.215, -1.362, -1.558, -1.648, -1.441, -1.153, -0.826, -0.252],
}
#: Every eighth band of frames 0 and 260 of `voice(rate, 5)` as VBx's features.py and predict.py give it without dither.
VBX = {
    (8000, 0): [8.041, 12.6305, 5.3148, 3.3119, 5.4996, 8.0818, 8.7128, 7.2403],
    (8000, 260): [-5.4931, -4.0226, -6.8205, -7.6018, -4.1895, -5.8405, -1.3136, -0.0358],
    (16_000, 0): [8.0905, 8.2427, 3.5428, 6.5586, 10.4542, 9.0191, 12.3471, 10.2458],
    (16_000, 260): [-5.8015, -5.3641, -8.5993, -5.9118, -5.2565, -2.002, -0.2873, -0.0084],
}


def voice(rate: int, seconds: float) -> np.ndarray:
    time = np.arange(int(rate * seconds)) / rate
    glide = 0.3 * np.sin(2 * np.pi * (200 * time + 150 * time * time)) * (1 + np.sin(9 * time)) / 2
    return (glide + 0.05 * np.sin(2 * np.pi * 0.41 * rate * time)).astype(np.float32)


@pytest.mark.parametrize("frame", WESPEAKER)
def test_wespeakers_banks_are_kaldis(frame: int) -> None:
    found = wespeaker(voice(16_000, 1), 16_000, 80)
    assert found.shape == (98, 80)
    np.testing.assert_allclose(found[frame, ::8], WESPEAKER[frame], atol=2e-3)


@pytest.mark.parametrize(("rate", "frame"), VBX)
def test_vbxs_banks_are_vbxs(rate: int, frame: int) -> None:
    found = vbx(voice(rate, 5), rate, 64)
    assert found.shape == (500, 64)
    np.testing.assert_allclose(found[frame, ::8], VBX[rate, frame], atol=2e-4)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["noise", "silence", "clicks"]), vbxs=st.booleans())
def test_no_sound_gives_values_that_are_no_numbers(seed: int, kind: str, vbxs: bool) -> None:
    random = np.random.default_rng(seed)
    length = int(random.integers(400, 80_000))
    samples = {
        "noise": lambda: random.normal(0, 10 ** random.uniform(-6, 0), length),
        "silence": lambda: np.zeros(length),
        "clicks": lambda: (random.random(length) < 1e-3).astype(float),
    }[kind]()
    found = (vbx if vbxs else wespeaker)(samples.astype(np.float32), 16_000, 64)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert np.abs(found.mean(axis=0)).max() < 1e-3 or (vbxs and len(found) > 300)
