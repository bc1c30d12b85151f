"""The last audio of one call: as much as the next frame and the open turns still need, and no more."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A decoded chunk: samples (channels, samples) from `start_ms` on, logged at `logged_at`, from record `offset`."""

    start_ms: int
    end_ms: int
    offset: int
    logged_at: datetime
    pcm: Pcm = field(repr=False)

    @property
    def per_ms(self) -> int:
        """Samples a millisecond."""
        return int(self.pcm.shape[1]) // (self.end_ms - self.start_ms)


class Tape:
    """Chunks without a gap between them, oldest first."""

    def __init__(self) -> None:
        self._chunks: deque[Chunk] = deque()

    def append(self, chunk: Chunk) -> None:
        """Add the next chunk. ValueError where it does not begin where the last one ended."""
        if self.end_ms not in {None, chunk.start_ms}:
            raise ValueError("a tape has no gaps: cut it before the next run of audio")
        self._chunks.append(chunk)

    @property
    def end_ms(self) -> int | None:
        """Where the next chunk must begin; None while the tape is empty."""
        return self._chunks[-1].end_ms if self._chunks else None

    def samples(self, start_ms: int, end_ms: int) -> Pcm:
        """All channels between two times, shape (channels, samples); silence for what lies before the tape."""
        first = self._chunks[0]
        channels, per_ms = len(first.pcm), first.per_ms
        parts = [
            chunk.pcm[:, max(0, start_ms - chunk.start_ms) * per_ms : (end_ms - chunk.start_ms) * per_ms]
            for chunk in self._chunks
            if start_ms < chunk.end_ms and chunk.start_ms < end_ms
        ]
        before_ms = max(0, min(end_ms, first.start_ms) - start_ms)
        return np.concatenate([np.zeros((channels, before_ms * per_ms), np.int16), *parts], axis=1)

    def at(self, media_ms: int) -> Chunk | None:
        """The chunk that holds the sample at `media_ms`."""
        return next((chunk for chunk in self._chunks if chunk.start_ms <= media_ms < chunk.end_ms), None)

    def since(self, media_ms: int) -> Chunk | None:
        """The chunk that holds the sample at `media_ms`, the first one where that lies before it."""
        return next((chunk for chunk in self._chunks if media_ms < chunk.end_ms), None)

    def forget(self, before_ms: int) -> None:
        """Let go of every chunk that ends at or before `before_ms`."""
        while self._chunks and self._chunks[0].end_ms <= before_ms:
            self._chunks.popleft()

    def cut(self) -> None:
        """Let go of everything: the next chunk begins a run of its own."""
        self._chunks.clear()
