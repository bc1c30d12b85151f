from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from services.emotion.abstention import Band
from services.training.corpora.corpus import Corpus, Cut, Segment
from services.training.errors import CorpusError
from services.training.sources import on_disk


class Roots:
    """A feature whose frames are the square roots of samples: of what lies below 0 they are no numbers."""

    name, version, rate, layers, values = "roots", "1", 8000, 1, 1

    def vectors(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        return np.zeros((len(windows), 1, 1), np.float32)

    def frames(self, windows: Sequence[np.ndarray]) -> list[np.ndarray]:
        with np.errstate(invalid="ignore"):
            return [np.sqrt(window)[None, :, None] for window in windows]


def test_a_segment_whose_frames_are_no_numbers_is_named_with_its_file_and_time(tmp_path: Path) -> None:
    for name, level in (("a.wav", 0.25), ("b.wav", -0.25)):
        soundfile.write(tmp_path / name, np.full(8000, level), 8000)
    segments = tuple(Segment(name, name, 0, 1000, "one", "call") for name in ("a.wav", "b.wav"))
    frames = on_disk(tmp_path, tmp_path / "cache").frames
    made = Corpus("made", tmp_path, segments, (), Cut.BY_CORPUS)
    (found,) = frames(made, Roots(), Band.WIDE, np.array([0]))
    assert found.shape == (1, 8000, 1)
    with pytest.raises(CorpusError, match=r"b\.wav, 0\.000 to 1\.000 s: roots gives frames that are no numbers$"):
        frames(made, Roots(), Band.WIDE, np.array([0, 1]))
