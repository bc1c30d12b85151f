"""VBx's own example: x-vectors of an AMI meeting, and the error that its authors publish for them."""

from pathlib import Path

import numpy as np
import pytest
from pyannote.core import Annotation, Segment, Timeline
from pyannote.database.util import load_rttm
from pyannote.metrics.diarization import DiarizationErrorRate

from streams.speech import kaldi
from streams.speech.plda_files import read
from streams.speech.turns import SpeakerTurn
from streams.speech.vbx_turns import diarize

MEETING = "ES2005a"


def turns(folder: Path) -> list[SpeakerTurn]:
    vectors = kaldi.vectors((folder / f"{MEETING}_xvectors_16k.ark").read_bytes())
    segments = kaldi.segments((folder / f"{MEETING}.seg").read_text())
    plda = read(folder / "ResNet101_16kHz_plda", folder / "ResNet101_16kHz_transform.h5")
    return diarize(np.stack([vectors[key] for key in segments]), np.array(list(segments.values())), plda)


@pytest.mark.needs("recordings")
def test_the_published_error_is_met_to_a_hundredth(recordings: Path) -> None:
    folder = recordings / "vbx"
    said = load_rttm(folder / f"{MEETING}.rttm")[MEETING]
    found = Annotation(uri=MEETING)
    for number, turn in enumerate(turns(folder)):
        found[Segment(turn.start_ms / 1000, turn.end_ms / 1000), number] = turn.speaker
    whole = Timeline([said.get_timeline().extent() | found.get_timeline().extent()])
    protocols = {"forgiving": (0.5, True), "fair": (0.5, False), "full": (0.0, False)}  # a collar of 0.5 is 0.25 a side
    percent = {
        name: round(100 * DiarizationErrorRate(collar=collar, skip_overlap=skipped)(said, found, uem=whole), 2)
        for name, (collar, skipped) in protocols.items()
    }
    assert percent == {"forgiving": 7.06, "fair": 17.27, "full": 26.28}
