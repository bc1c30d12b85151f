"""Sounds of a line that are no speech, on the customer's channel: none of them is a window."""

from pathlib import Path

import numpy as np
import pytest
from unit.speech.hearing import hear, together
from unit.speech.talk import RATE, fax, pcm, sung

from services.recordings import open_recording, read
from services.training.sounds import sounds
from streams.domain.windows import Fate

CALM = Path(__file__).parents[3] / "services" / "standalone" / "samples" / "calm.wav"


def customer(samples: np.ndarray) -> np.ndarray:
    """A call on which only the customer's channel sounds."""
    return pcm(np.stack((np.zeros(len(samples)), samples)))


def test_tones_ringing_dialling_music_and_noise_are_no_windows() -> None:
    made = [customer(samples * 32767.0) for _, samples in sounds(np.random.default_rng(5), 2)]
    assert [heard.windows for heard in together(made)] == [[]] * len(made)


@pytest.mark.parametrize("samples", [fax(), sung(15, 0), sung(15, 1)], ids=["fax", "sung", "sung otherwise"])
def test_a_fax_machine_and_sung_notes_are_no_windows(samples: np.ndarray) -> None:
    assert hear(customer(samples)).windows == []


def test_who_speaks_after_music_and_ringing_is_heard() -> None:
    call = read(open_recording(CALM))[:, : 20 * RATE]
    before = np.concatenate([samples for _, samples in sounds(np.random.default_rng(5), 1)]) * 8000.0
    before = before[: len(before) // 256 * 256]
    after = hear(pcm(np.concatenate((np.stack((0 * before, before)), call), axis=1)))
    alone = hear(call)
    assert after.windows
    assert after.seconds(Fate.WINDOW) == pytest.approx(alone.seconds(Fate.WINDOW), abs=0.5)
