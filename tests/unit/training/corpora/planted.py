"""Corpora made up for tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from services.training.corpora.corpus import DIMENSIONS, Annotation, Corpus, Cut, Segment

RATE = 8_000


def hum(seconds: float, *, seed: int = 0, level: float = 0.1) -> np.ndarray:
    """Noise, another one for every seed: shape (samples,)."""
    return np.random.default_rng(seed).uniform(-level, level, round(seconds * RATE))


def record(path: Path, seconds: float = 0.2, *, seed: int = 0, level: float = 0.1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, hum(seconds, seed=seed, level=level), RATE)


def corpus(folder: Path, rows: Sequence[tuple[str, str]], **columns: Sequence[str]) -> Corpus:
    """A segment for each (speaker, label), the label in every dimension, all in one recording, 200 ms each.

    `columns` replace a segment's conversation, session or text.
    """
    record(folder / "all.wav", 0.2 * len(rows))
    segments = tuple(
        Segment(
            id=f"s{at}",
            recording="all.wav",
            start_ms=200 * at,
            end_ms=200 * at + 200,
            speaker=speaker,
            **{"conversation": speaker} | {name: values[at] for name, values in columns.items()},
        )
        for at, (speaker, _) in enumerate(rows)
    )
    said = tuple(
        Annotation(segment.id, "a", dict.fromkeys(DIMENSIONS, label))
        for segment, (_, label) in zip(segments, rows, strict=True)
    )
    return Corpus("planted", folder, segments, said, Cut.BY_CORPUS)
