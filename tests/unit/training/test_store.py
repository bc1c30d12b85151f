from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.training.store import KEY, Store, StoreError, append, check_room, read, read_keys, stretch


def opened(folder: Path) -> Store:
    folder.mkdir(exist_ok=True)
    return Store(folder, (2, 3), np.dtype(np.float32))


def keys(letters: str) -> list[bytes]:
    return [letter.encode() * KEY for letter in letters]


def rows(letters: str) -> np.ndarray:
    """A key's row is full of its number."""
    return np.array([np.full((2, 3), ord(letter), np.float32) for letter in letters]).reshape(-1, 2, 3)


def written(store: Store) -> str:
    found = read_keys(store)
    assert np.array_equal(read(store, 0, len(found)), rows("".join(chr(key[0]) for key in found)))
    return "".join(chr(key[0]) for key in found)


def test_rows_are_found_under_their_keys_and_stay_on_disk(tmp_path: Path) -> None:
    store = opened(tmp_path)
    append(store, keys("ab"), rows("ab"))
    append(store, keys("c"), rows("c"))
    assert written(store) == "abc"
    assert isinstance(read(store, 1, 2), np.memmap)
    assert np.array_equal(read(store, 1, 2), rows("bc"))
    assert read(store, 3, 0).shape == (0, 2, 3)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row_bytes=st.integers(0, 5 * 24), key_bytes=st.integers(0, 5 * KEY))
def test_a_write_that_was_cut_off_anywhere_leaves_whole_rows_alone(
    tmp_path: Path, row_bytes: int, key_bytes: int
) -> None:
    store = opened(tmp_path)
    store.rows.write_bytes(rows("abcde").tobytes()[:row_bytes])
    store.keys.write_bytes(b"".join(keys("abcde"))[:key_bytes])
    whole = min(row_bytes // 24, key_bytes // KEY)
    assert written(store) == "abcde"[:whole]
    append(store, keys("xyz"), rows("xyz"))
    assert written(store) == "abcde"[:whole] + "xyz"


def test_rows_without_keys_and_keys_without_rows_are_none(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.keys.write_bytes(b"".join(keys("ab")))
    assert read_keys(store) == []
    store.rows.write_bytes(rows("ab").tobytes())
    store.keys.unlink()
    assert read_keys(store) == []


@pytest.mark.parametrize(
    ("known", "wanted", "found"),
    [
        ("", "abc", (0, 0)),
        ("abc", "abc", (0, 3)),
        ("xyabc", "abc", (2, 3)),
        ("abcxy", "abc", (0, 3)),
        ("xyab", "abc", (2, 2)),  # begun
        ("abxy", "abc", (4, 0)),  # broken off, and others behind it
        ("acb", "abc", (3, 0)),
        ("aab", "abc", (1, 2)),
        ("aaab", "aab", (1, 3)),
        ("abc", "b", (1, 1)),
        ("abc", "", (3, 0)),
    ],
)
def test_a_corpus_is_looked_for_in_one_piece(known: str, wanted: str, found: tuple[int, int]) -> None:
    assert stretch(keys(known), keys(wanted)) == found


@given(known=st.text("ab", max_size=8), wanted=st.text("ab", min_size=1, max_size=5))
def test_whatever_is_missing_of_a_piece_can_be_appended(known: str, wanted: str) -> None:
    start, there = stretch(keys(known), keys(wanted))
    assert (known + wanted[there:])[start : start + len(wanted)] == wanted
    assert (wanted in known) == (there == len(wanted))


def test_what_has_no_room_is_not_begun(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"1,000,000,000,000\.0 MB to write, [\d,.]+ MB free; make room"):
        check_room(opened(tmp_path), 10**18)


def test_a_disk_that_refuses_is_told_in_one_line(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.rows.mkdir()
    with pytest.raises(StoreError, match=r"cannot be written \(Is a directory\); run again"):
        append(store, keys("a"), rows("a"))
