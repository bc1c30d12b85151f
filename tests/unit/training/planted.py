"""Corpora made up in memory: segments of invented speakers with labels of the emodb scheme."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from services.emotion.abstention import Band
from services.emotion.features.feature import Array, Feature, Framewise
from services.training.corpora.corpus import DIMENSIONS, Annotation, Corpus, Cut, Segment
from services.training.experiment import Sources
from services.training.kinds import Progress
from services.training.plan import Plan, parse_plan
from streams.domain.schemes import BUILT_IN

CATEGORIES = ("anger", "happiness", "neutral", "sadness")


def corpus(
    labels: Sequence[str],
    conversations: Sequence[object],
    *,
    name: str = "planted",
    speakers: Sequence[object] = (),
    sessions: Sequence[object] = (),
    sexes: Sequence[str] = (),
) -> Corpus:
    """One segment of two seconds a label, unjudged where it is empty; a speaker each conversation, unless given."""
    segments = tuple(
        Segment(
            id=f"s{at}",
            recording=f"{at}.wav",
            start_ms=0,
            end_ms=2000,
            speaker=str((speakers or conversations)[at]),
            conversation=str(conversations[at]),
            session=str(sessions[at]) if sessions else "",
            sex=sexes[at] if sexes else "",
        )
        for at in range(len(labels))
    )
    said = tuple(
        Annotation(f"s{at}", "one", dict.fromkeys(DIMENSIONS, label)) for at, label in enumerate(labels) if label
    )
    return Corpus(name, Path(name), segments, said, Cut.BY_CORPUS)


class Samples:
    """A feature that is the window's first samples: what is planted in them is what it holds."""

    name, rate, values = "samples", 8000, 8

    def __init__(self, layers: int = 1, version: str = "1") -> None:
        self.layers, self.version = layers, version

    def vectors(self, windows: Sequence[Array]) -> Array:
        return np.stack([window[: self.layers * self.values].reshape(self.layers, -1) for window in windows])


class Framed(Samples):
    """The same, with a frame."""

    def frames(self, windows: Sequence[Array]) -> list[Array]:
        return [layers[:, None] for layers in self.vectors(windows)]  # one frame each


def sounds(made: Corpus, told: Sequence[int], *, clear: float, layer: int = 0, seed: int = 0) -> dict[str, Array]:
    """Recording -> its samples: noise, and in the samples of one layer what is told of the segment, this clearly."""
    noise = np.random.default_rng(seed).normal(size=(len(made.segments), layer + 1, Samples.values))
    noise[np.arange(len(told)), layer, told] += clear
    return {
        segment.recording: window.ravel().astype(np.float32)
        for segment, window in zip(made.segments, noise, strict=True)
    }


def sources(*heard: tuple[Corpus, dict[str, Array]], feature: Feature | None = None) -> Sources:
    """An experiment's sources in memory: corpora by their names, the scheme emodb."""
    by_name = {made.name: (made, recordings) for made, recordings in heard}

    def vectors(made: Corpus, of: Feature, _band: Band, _progress: Progress) -> Array:
        return of.vectors([by_name[made.name][1][segment.recording] for segment in made.segments])

    def frames(made: Corpus, of: Framewise, _band: Band, rows: np.ndarray) -> list[Array]:
        return of.frames([by_name[made.name][1][made.segments[at].recording] for at in rows])

    def fingerprint(made: Corpus) -> str:
        content = b"".join(window.tobytes() for window in by_name[made.name][1].values())
        return sha256(content + repr(made).encode()).hexdigest()

    return Sources(
        corpus=lambda name: by_name[name][0],
        scheme=BUILT_IN.__getitem__,
        feature=lambda _: feature or Samples(),
        fingerprint=fingerprint,
        vectors=vectors,
        frames=frames,
    )


def plan(*data: str, **others: object) -> Plan:
    """Every head kind on the feature in both bands, few resamples."""
    given = {"name": "planted", "data": [{"corpus": name, "scheme": "emodb"} for name in data], "features": ["samples"]}
    return parse_plan(given | {"number_of_folds": 3, "resamples": 400} | others, "plan.yaml")


def seen_as(made: Corpus) -> np.ndarray:
    """(segments,): the category of each, as a number."""
    return np.array([CATEGORIES.index(item.labels["category"]) for item in made.annotations])
