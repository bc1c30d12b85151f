"""A cache tells which conversations it holds, and no name of one."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from services.emotion.abstention import Band
from services.training.cache import Heard, vectors
from services.training.corpora.corpus import Segment
from services.training.errors import CorpusError
from services.training.marks import MARKS, holding, note

CALL = "c" * 64
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


class Means:
    """A feature: a window's mean."""

    name, version, rate, layers, values = "means", "1", 8000, 1, 1

    def vectors(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        return np.array([window.mean() for window in windows], np.float32).reshape(-1, 1, 1)


def heard(folder: Path, *calls: str) -> Heard:
    """A recording a call."""
    folder.mkdir(exist_ok=True)
    for call in calls:
        soundfile.write(folder / f"{call[:9]}.wav", np.full(8000, len(call) / 256), 8000)
    segments = [Segment(call, f"{call[:9]}.wav", 0, 1000, "speaker", call) for call in calls]
    return Heard(folder, segments, Band.WIDE)


def test_the_cache_that_holds_a_call_is_named_and_no_other(tmp_path: Path) -> None:
    vectors(tmp_path / "kept" / "a", Means(), heard(tmp_path / "wav", "one", CALL))
    vectors(tmp_path / "kept" / "b", Means(), heard(tmp_path / "wav", "one", "three"))
    found = holding(tmp_path / "kept", {"4711", CALL})
    assert (found.looked_into, [path.parent.name for path in found.holding], found.unreadable) == (2, ["a"], ())
    assert holding(tmp_path / "kept", {"4711"}).holding == ()


def test_a_call_whose_rows_another_name_of_the_recording_left_there_is_held_too(tmp_path: Path) -> None:
    vectors(tmp_path / "cache", Means(), heard(tmp_path / "wav", "first-1"))
    vectors(tmp_path / "cache", Means(), heard(tmp_path / "wav", "other-1"))  # the same sound: no row is added
    assert holding(tmp_path, {"other-1"}).holding == holding(tmp_path, {"first-1"}).holding != ()


def test_a_call_is_noted_before_its_rows_are_computed(tmp_path: Path) -> None:
    windows = heard(tmp_path / "wav", "one", CALL)
    (tmp_path / "wav" / f"{CALL[:9]}.wav").write_bytes(b"no sound")
    with pytest.raises(CorpusError):
        vectors(tmp_path / "cache", Means(), windows)
    (marks,) = tmp_path.rglob(MARKS)
    assert len(marks.read_text().split()) == 2
    assert CALL not in marks.read_text()


def test_a_cache_of_an_older_release_cannot_tell_and_stays_one_that_cannot(tmp_path: Path) -> None:
    vectors(tmp_path / "cache", Means(), heard(tmp_path / "wav", "one"))
    (marks,) = tmp_path.rglob(MARKS)
    marks.unlink()
    vectors(tmp_path / "cache", Means(), heard(tmp_path / "wav", "one", "three"))
    found = holding(tmp_path, {"one"})
    assert (found.looked_into, found.holding) == (1, ())
    assert "of an older release, cannot tell whose features it holds; delete it" in found.unreadable[0]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "gone: cannot be looked into (No such file" in holding(tmp_path / "gone", {CALL}).unreadable[0]


@given(st.lists(st.sets(NAMES), max_size=4), NAMES)
@settings(deadline=None)  # files take their time
def test_what_was_noted_is_known_for_good_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, noted: list[set[str]], other: str
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    for names in noted:
        note(folder, names)
    (folder / MARKS).touch()
    (folder / "rows.bin").touch()
    every = set().union(*noted)
    for name in every | {other}:
        assert bool(holding(folder, {name}).holding) == (name in every)
