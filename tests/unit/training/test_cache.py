import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile

from services.emotion.abstention import Band
from services.emotion.features.feature import FeatureError
from services.training.cache import BATCH, Heard, vectors
from services.training.corpora.corpus import Segment
from services.training.errors import CorpusError
from services.training.store import StoreError

Array = np.ndarray


@dataclass
class Levels:
    """A feature: what each of two layers gives is the window's mean and length; it counts what it described."""

    version: str = "1"
    described: list[int] = field(default_factory=list)
    unfit: float = 2.0  #: windows that reach this level cannot be described
    scale: float = 1.0
    kill_at: int = -1
    name: str = "levels"
    rate: int = 8000
    layers: int = 2
    values: int = 2

    def vectors(self, windows: Sequence[Array]) -> Array:
        if len(self.described) >= self.kill_at >= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if any(window.max() >= self.unfit for window in windows):
            raise FeatureError("levels: too loud; turn it down")
        self.described += [len(window) for window in windows]
        rows = [[window.mean() * self.scale, len(window)] for window in windows]
        return np.repeat(np.array(rows, np.float32)[:, None], 2, axis=1)


def write(folder: Path, count: int) -> tuple[Segment, ...]:
    """Recordings of a second, each of a level of its own."""
    folder.mkdir(exist_ok=True)
    for at in range(count):
        soundfile.write(folder / f"{at}.wav", np.full(8000, (at + 1) / 256), 8000)
    return tuple(Segment(str(at), f"{at}.wav", 0, 1000, "speaker", "call") for at in range(count))


def levels(rows: Array) -> list[int]:
    return [round(level * 256) for level in rows[:, 1, 0]]


@pytest.fixture
def corpus(tmp_path: Path) -> Callable[..., Heard]:
    segments = write(tmp_path / "wav", 80)
    return lambda *chosen, band=Band.WIDE: Heard(tmp_path / "wav", [segments[at] for at in chosen], band)


def test_rows_stand_in_the_order_of_the_windows_and_are_not_loaded(
    tmp_path: Path, corpus: Callable[..., Heard]
) -> None:
    rows = vectors(tmp_path / "cache", Levels(), corpus(3, 1, 2))
    assert isinstance(rows, np.memmap)
    assert (rows.shape, rows.dtype) == ((3, 2, 2), np.float32)
    assert levels(rows) == [4, 2, 3]


def test_what_is_there_is_never_computed_again(tmp_path: Path, corpus: Callable[..., Heard]) -> None:
    feature, cache = Levels(), tmp_path / "cache"
    vectors(cache, feature, corpus(*range(70)))
    assert len(feature.described) == 70
    assert levels(vectors(cache, feature, corpus(*range(10, 20)))) == list(range(11, 21))
    assert levels(vectors(cache, feature, corpus(5, 3, 75, 4))) == [6, 4, 76, 5]
    assert levels(vectors(cache, feature, corpus(*range(70)))) == list(range(1, 71))
    assert len(feature.described) == 71


def test_a_cache_follows_content_part_band_and_version(tmp_path: Path, corpus: Callable[..., Heard]) -> None:
    feature, cache = Levels(), tmp_path / "cache"
    vectors(cache, feature, corpus(0))
    (tmp_path / "wav" / "0.wav").rename(tmp_path / "wav" / "moved.wav")
    moved = Segment("other", "moved.wav", 0, 1000, "other speaker", "other call")
    vectors(cache, feature, Heard(tmp_path / "wav", [moved], Band.WIDE))
    assert len(feature.described) == 1
    vectors(cache, feature, Heard(tmp_path / "wav", [moved], Band.TELEPHONE))
    vectors(cache, feature, Heard(tmp_path / "wav", [Segment("1", "moved.wav", 0, 900, "", "")], Band.WIDE))
    soundfile.write(tmp_path / "wav" / "moved.wav", np.zeros(8000), 8000)
    vectors(cache, feature, Heard(tmp_path / "wav", [moved], Band.WIDE))
    assert feature.described == [8000, 8000, 7200, 8000]
    newer = Levels(version="2")
    vectors(cache, newer, Heard(tmp_path / "wav", [moved], Band.WIDE))
    assert newer.described == [8000]


def test_the_size_is_announced_before_anything_is_written(tmp_path: Path, corpus: Callable[..., Heard]) -> None:
    announced, ticks = [], []

    def progress(what: str, steps: int) -> Callable[[], None]:
        assert not list(tmp_path.glob("cache/*/rows.bin"))
        announced.append((what, steps))
        return lambda: ticks.append(1)

    vectors(tmp_path / "cache", Levels(values=2), corpus(*range(80)), progress)
    assert announced == [("levels, wide band, 0.0 MB", 80)]
    assert len(ticks) == 80


def test_what_the_disk_has_no_room_for_is_not_begun(tmp_path: Path, corpus: Callable[..., Heard]) -> None:
    with pytest.raises(StoreError, match=r"MB to write, .* MB free"):
        vectors(tmp_path / "cache", Levels(values=10**15), corpus(0))
    assert not list(tmp_path.glob("cache/*/rows.bin"))


def test_a_process_that_is_killed_loses_one_batch_at_most(tmp_path: Path, corpus: Callable[..., Heard]) -> None:
    code = (
        "import sys; from pathlib import Path; import test_cache as t\n"
        "folder = Path(sys.argv[1]); segments = t.write(folder / 'wav', 80)\n"
        "t.vectors(folder / 'cache', t.Levels(kill_at=64), t.Heard(folder / 'wav', segments, t.Band.WIDE))\n"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[3])])
    killed = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env={**os.environ, "PYTHONPATH": paths}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    feature = Levels()
    assert levels(vectors(tmp_path / "cache", feature, corpus(*range(80)))) == list(range(1, 81))
    assert len(feature.described) == 80 - 2 * BATCH


def test_halves_take_half_the_room_and_are_kept_apart(tmp_path: Path, corpus: Callable[..., Heard]) -> None:
    feature = Levels()
    whole = vectors(tmp_path / "cache", feature, corpus(0, 1))
    half = vectors(tmp_path / "cache", feature, corpus(0, 1), half=True)
    assert half.dtype == np.float16
    assert np.array_equal(half, whole)  # small sums of powers of two
    assert sorted(path.stat().st_size for path in tmp_path.glob("cache/*/rows.bin")) == [16, 32]
    with pytest.raises(StoreError, match=r"levels has values beyond 65,504"):
        vectors(tmp_path / "cache", Levels(scale=1e9, version="2"), corpus(0), half=True)


def test_every_window_of_a_batch_that_cannot_be_described_is_named(
    tmp_path: Path, corpus: Callable[..., Heard]
) -> None:
    (tmp_path / "wav" / "7.wav").write_bytes(b"")
    with pytest.raises(CorpusError) as refused:
        vectors(tmp_path / "cache", Levels(unfit=30 / 256), corpus(*range(BATCH)))
    assert [line.split("wav/")[1] for line in str(refused.value).splitlines()] == [
        "7.wav, 0.000 to 1.000 s: cannot be read as audio; record or convert the file again",
        *(f"{at}.wav, 0.000 to 1.000 s: levels: too loud; turn it down" for at in (29, 30, 31)),
    ]


def test_values_that_are_no_numbers_are_never_kept(tmp_path: Path, corpus: Callable[..., Heard]) -> None:
    with pytest.raises(CorpusError, match=r"1\.wav, 0\.000 to 1\.000 s: levels gives values that are no numbers"):
        vectors(tmp_path / "cache", Levels(scale=np.inf), corpus(1))
    assert not list(tmp_path.glob("cache/*/rows.bin"))


def test_no_windows_have_no_rows(tmp_path: Path, corpus: Callable[..., Heard]) -> None:
    assert vectors(tmp_path / "cache", Levels(), corpus()).shape == (0, 2, 2)


def test_a_cache_says_what_it_is_and_nothing_of_who_spoke(tmp_path: Path, corpus: Callable[..., Heard]) -> None:
    vectors(tmp_path / "cache", Levels(), corpus(0))
    files = {path.name: path.read_bytes() for path in tmp_path.glob("cache/*/*")}
    assert set(files) == {"about.json", "conversations.txt", "keys.bin", "rows.bin", "lock"}
    assert b'"name": "levels"' in files["about.json"]
    assert len(files["keys.bin"]) == 32
    assert not any(word in content for content in files.values() for word in (b"wav", b"speaker", b"call"))
