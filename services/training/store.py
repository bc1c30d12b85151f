"""Rows of numbers on disk, each under a key: appended, and found again, by whoever computes them.

`rows.bin` holds a fixed number of bytes for each row, `keys.bin` the keys in the same order. Rows reach the disk before
their keys do, so a process that is killed at any instant leaves a row that is whole or one that does not count.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.training.errors import TrainingError

Rows = NDArray[np.floating]  #: (n, layers, values)

KEY = 32  #: bytes


class StoreError(TrainingError):
    """Rows cannot be kept; the message names the folder and the remedy."""


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of rows that are all alike."""

    folder: Path
    shape: tuple[int, int]  #: (layers, values)
    dtype: np.dtype[np.floating]

    @property
    def row_bytes(self) -> int:
        """How long a row is."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    @property
    def rows(self) -> Path:
        """The file of the rows."""
        return self.folder / "rows.bin"

    @property
    def keys(self) -> Path:
        """The file of the keys."""
        return self.folder / "keys.bin"


@contextmanager
def alone(store: Store) -> Iterator[None]:
    """Hold the store against other processes, waiting for one that has it."""
    with (store.folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_keys(store: Store) -> list[bytes]:
    """The key of each whole row."""
    if not store.keys.exists() or not store.rows.exists():
        return []
    found = store.keys.read_bytes()
    whole = min(len(found) // KEY, store.rows.stat().st_size // store.row_bytes)
    return [found[at * KEY : (at + 1) * KEY] for at in range(whole)]


def append(store: Store, keys: Sequence[bytes], rows: Rows) -> None:
    """Add rows behind those that are whole. Raises StoreError."""
    there = len(read_keys(store))
    try:
        _write(store.rows, there * store.row_bytes, rows.astype(store.dtype).tobytes())
        _write(store.keys, there * KEY, b"".join(keys))
    except OSError as error:
        raise StoreError(f"{store.folder}: cannot be written ({error.strerror}); run again once it can") from error


def _write(path: Path, at: int, content: bytes) -> None:
    """Put content at a place, let nothing follow it, and return when the disk has it."""
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.truncate(at)
        file.seek(at)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read(store: Store, start: int, size: int) -> Rows:
    """(size, layers, values) from a row on, memory-mapped."""
    if not size:
        return np.zeros((0, *store.shape), store.dtype)
    return np.memmap(store.rows, store.dtype, "r", start * store.row_bytes, (size, *store.shape))


def stretch(known: Sequence[bytes], wanted: Sequence[bytes]) -> tuple[int, int]:
    """At which row `wanted` stands in one piece, and how many of it: all, or its beginning at the end of `known`."""
    for start, key in enumerate(known):
        if wanted and key == wanted[0]:
            piece = known[start : start + len(wanted)]
            if piece == wanted[: len(piece)]:
                return start, len(piece)
    return len(known), 0


def check_room(store: Store, size: int) -> None:
    """Refuse to begin what the disk has no room for. Raises StoreError."""
    free = shutil.disk_usage(store.folder).free
    if size > free:
        raise StoreError(
            f"{store.folder}: {megabytes(size)} to write, {megabytes(free)} free; make room, or name another folder"
        )


def megabytes(size: int) -> str:
    """A number of bytes as a person reads it."""
    return f"{size / 1e6:,.1f} MB"
