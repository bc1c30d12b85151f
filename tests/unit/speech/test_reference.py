from pathlib import Path

import numpy as np
import pytest
import soundfile

from streams.domain.overlap import FRAME_MS, OFFSET, ONSET
from streams.speech.activity import Stretch, VoiceActivity, context_samples, frame_samples

CALL = "calls8k/aws_auto_repairs_40"
JOINED_FRAMES = 300 // FRAME_MS  #: the reference closes shorter gaps


def spoken(probabilities: tuple[float, ...]) -> np.ndarray:
    """Frames of speech, by the reference's own thresholds, shorter gaps closed."""
    out, on, silent = np.zeros(len(probabilities), bool), False, 0
    for frame, probability in enumerate(probabilities):
        on = probability >= (OFFSET if on else ONSET)
        if on and 0 < silent <= JOINED_FRAMES and out[: frame - silent].any():
            out[frame - silent : frame] = True
        silent = 0 if on else silent + 1
        out[frame] = on
    return out


def reference(path: Path, speaker: str, frames: int) -> np.ndarray:
    out = np.zeros(frames, bool)
    for fields in map(str.split, path.read_text().splitlines()):
        start, seconds = float(fields[3]), float(fields[4])
        if fields[7] == speaker:
            out[round(start * 1000 / FRAME_MS) : round((start + seconds) * 1000 / FRAME_MS)] = True
    return out


@pytest.mark.needs("recordings")
def test_speech_on_a_telephone_call_is_where_the_reference_has_it(recordings: Path) -> None:
    pcm, rate = soundfile.read(recordings / f"{CALL}_2ch.wav", dtype="int16")
    whole = len(pcm) // frame_samples(rate) * frame_samples(rate)
    silence = np.zeros(context_samples(rate), np.int16)
    heard = VoiceActivity().hear(rate, [Stretch(channel, silence) for channel in pcm[:whole].T.copy()])
    for activity, speaker in zip(heard, ("agent", "caller"), strict=True):
        found = spoken(activity.probability)
        expected = reference(recordings / f"{CALL}.silero.rttm", speaker, len(found))
        assert np.mean(found == expected) > 0.95, speaker
