"""Kaldi's binary files, as arrays: a PLDA model, and an archive of vectors by key.

A file says of everything what it is: "FV " or "DV " a vector, "DM " a matrix, of 4 or 8 bytes a number.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BINARY = b"\0B"
_TYPES: Mapping[bytes, np.dtype[np.floating]] = {b"F": np.dtype("<f4"), b"D": np.dtype("<f8")}


class KaldiError(ValueError):
    """Bytes that are no such file. The message says at which byte, and what to do; who knows the file names it."""


@dataclass(slots=True)
class _Reader:
    content: bytes
    at: int = 0

    def expect(self, token: bytes) -> None:
        """Pass `token`."""
        if not self.content.startswith(token, self.at):
            raise KaldiError(f"byte {self.at}: {token!r} is missing; a file in Kaldi's binary form is needed")
        self.at += len(token)

    def until(self, end: bytes) -> bytes:
        """What stands before `end`, which is passed."""
        found = self.content.find(end, self.at)
        if found < 0:
            raise KaldiError(f"byte {self.at}: the file ends too early; copy it again")
        start, self.at = self.at, found + len(end)
        return self.content[start:found]

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        start, self.at = self.at, self.at + size
        if self.at > len(self.content):
            raise KaldiError(f"byte {start}: {size} bytes are promised and {len(self.content) - start} are there")
        return self.content[start : self.at]

    def size(self) -> int:
        """A dimension: a byte that says 4, and an integer of so many bytes."""
        self.expect(b"\4")
        found: int = struct.unpack("<i", self.take(4))[0]
        if found < 1:
            raise KaldiError(f"byte {self.at - 4}: a dimension of {found}; copy the file again")
        return found

    def floats(self, form: bytes) -> Floats:
        """A vector (form b"V") or a matrix (form b"M") of either precision. Its numbers are finite."""
        start = self.at
        kind = _TYPES.get(self.take(1))
        if kind is None or self.take(2) != form + b" ":
            raise KaldiError(f"byte {start}: no {'vector' if form == b'V' else 'matrix'} of floating-point numbers")
        shape = tuple(self.size() for _ in range(1 if form == b"V" else 2))
        numbers = np.frombuffer(self.take(int(np.prod(shape)) * kind.itemsize), kind).astype(np.float64)
        if not np.isfinite(numbers).all():
            raise KaldiError(f"byte {start}: a number is infinite or none at all; make the file again")
        return numbers.reshape(shape)


def plda(content: bytes) -> tuple[Floats, Floats, Floats]:
    """Mean (dims,), transform (dims, dims) and variances between speakers (dims,) of a PLDA model. KaldiError."""
    reader = _Reader(content)
    reader.expect(_BINARY + b"<Plda> ")
    mean, transform, between = reader.floats(b"V"), reader.floats(b"M"), reader.floats(b"V")
    reader.expect(b"</Plda>")
    dims = len(mean)
    if transform.shape != (dims, dims) or between.shape != (dims,):
        raise KaldiError(f"a mean of {dims}, a transform of {transform.shape} and {len(between)} variances do not fit")
    if (between <= 0).any():
        raise KaldiError("a variance between speakers is not above 0; make the file again")
    return mean, transform, between


def vectors(content: bytes) -> Mapping[str, Floats]:
    """The vectors of an archive by their keys, in its order. KaldiError."""
    reader, found = _Reader(content), dict[str, Floats]()
    while reader.at < len(content):
        key = reader.until(b" ").decode(errors="replace")
        if key in found:
            raise KaldiError(f"byte {reader.at}: the key {key} stands twice; write each vector once")
        reader.expect(_BINARY)
        found[key] = reader.floats(b"V")
    return found


def segments(text: str) -> Mapping[str, tuple[int, int]]:
    """Start and end (ms) by key, of lines "key recording start end" in seconds. KaldiError."""
    found = dict[str, tuple[int, int]]()
    for number, line in enumerate(text.splitlines(), 1):
        try:
            key, _, start, end = line.split()
            found[key] = round(float(start) * 1000), round(float(end) * 1000)
        except (ValueError, OverflowError) as error:
            raise KaldiError(f"line {number}: no key, recording, start and end in seconds") from error
    return found
