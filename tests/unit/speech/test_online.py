from pathlib import Path

import numpy as np
import pytest

from services.recordings import open_recording, read
from streams.speech.online import diarize


def test_silence_has_no_turns() -> None:
    assert diarize(np.zeros(16_000, np.int16), 8000) == []


@pytest.mark.needs("recordings")
def test_the_parties_of_a_real_call_are_told_apart_for_most_of_their_time(recordings: Path) -> None:
    mono = open_recording(recordings / "calls8k" / "aws_auto_repairs_40_mono.wav")
    turns = diarize(read(mono)[0], mono.rate)
    ends = [0, *(turn.end_ms for turn in turns)]
    assert all(start <= turn.start_ms < turn.end_ms for start, turn in zip(ends, turns, strict=False))
    right = spoken = 0
    for line in (mono.path.parent / "aws_auto_repairs_40.silero.rttm").read_text().splitlines():
        _, _, _, start, length, _, _, name, *_ = line.split()
        begins, over = float(start) * 1000, (float(start) + float(length)) * 1000
        for turn in turns:
            shared = max(0.0, min(over, turn.end_ms) - max(begins, turn.start_ms))
            spoken += shared
            right += shared * ((turn.speaker == 0) == (name == "agent"))
    assert right > 0.8 * spoken
