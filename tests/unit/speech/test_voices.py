import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.speech.resample import resample, to_pcm
from streams.speech.voices import Cepstra

RATES = (8000, 16000)


@pytest.fixture(scope="module")
def cepstra() -> Cepstra:
    return Cepstra()


def voice(rate: int, ms: int, seed: int) -> np.ndarray:
    """Noise with a spectrum of its own."""
    rng = np.random.default_rng(seed)
    noise = np.convolve(rng.normal(0, 3000, rate * ms // 1000), rng.normal(0, 0.5, 8), mode="same")
    return noise.astype(np.int16)


@pytest.mark.parametrize("rate", RATES)
@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(384, 1280), min_size=1, max_size=9), data=st.data())
def test_neighbours_change_no_bit_of_a_pieces_vector(
    cepstra: Cepstra, rate: int, lengths: list[int], data: st.DataObject
) -> None:
    pieces = [voice(rate, ms, seed) for seed, ms in enumerate(lengths)]
    index = data.draw(st.integers(0, len(pieces) - 1))
    assert cepstra.embed(rate, pieces)[index].tobytes() == cepstra.embed(rate, [pieces[index]])[0].tobytes()


def test_loudness_moves_a_voice_less_than_a_voice_differs_from_itself(cepstra: Cepstra) -> None:
    loud = voice(8000, 1280, 0)
    one, other = cepstra.embed(8000, [loud, loud // 4])
    assert np.abs(one - other).max() < 1


def test_the_same_sound_at_16_khz_is_the_same_voice(cepstra: Cepstra) -> None:
    narrow = voice(8000, 1280, 0)
    wide = to_pcm(resample((narrow / np.float32(32768))[np.newaxis].astype(np.float32), 8000, 16000))[0]
    (one,), (other,) = cepstra.embed(8000, [narrow]), cepstra.embed(16000, [wide])
    (stranger,) = cepstra.embed(8000, [voice(8000, 1280, 1)])
    assert np.linalg.norm(one - other) < np.linalg.norm(one - stranger) / 4


def test_digital_silence_has_a_vector(cepstra: Cepstra) -> None:
    assert np.isfinite(cepstra.embed(8000, [np.zeros(4096, np.int16)])).all()
