"""Features of real speech, through the cache, in both bands."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from services.emotion.features.registry import open_feature
from services.training.audio import Band, heard
from services.training.cache import Heard, vectors
from services.training.corpora.corpus import Segment

pytestmark = pytest.mark.needs("recordings")


@pytest.fixture(scope="module")
def segments(recordings: Path) -> list[Segment]:
    """Every sixtieth sentence of EmoDB."""
    with (recordings / "emodb4" / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[::60]
    return [_whole(recordings / "emodb4", row["path"], row["speaker"]) for row in rows]


def _whole(folder: Path, path: str, speaker: str) -> Segment:
    file = soundfile.info(folder / path)
    return Segment(path, path, 0, file.frames * 1000 // file.samplerate, speaker, speaker)


@pytest.mark.parametrize(("name", "values"), [("prosody", 103), ("egemaps", 88), ("compare16", 6373)])
def test_a_sentence_is_the_same_from_the_cache_and_without_it(
    recordings: Path, segments: list[Segment], tmp_path: Path, name: str, values: int
) -> None:
    feature = open_feature(name)
    for band in Band:
        found = vectors(tmp_path, feature, Heard(recordings / "emodb4", segments, band))
        assert found.shape == (len(segments), 1, values)
        windows = [heard(recordings / "emodb4", segment, feature.rate, band) for segment in segments]
        assert np.array_equal(found, feature.vectors(windows))


def test_the_voices_of_men_and_women_are_told_apart_by_their_pitch(
    recordings: Path, segments: list[Segment], tmp_path: Path
) -> None:
    men = {"03", "10", "11", "12", "15"}
    for name, column in (("prosody", 0), ("egemaps", 0)):
        pitch = vectors(tmp_path, open_feature(name), Heard(recordings / "emodb4", segments, Band.TELEPHONE))[
            :, 0, column
        ]
        low = [value for value, segment in zip(pitch, segments, strict=True) if segment.speaker in men]
        high = [value for value, segment in zip(pitch, segments, strict=True) if segment.speaker not in men]
        assert np.median(low) < np.median(high)
