"""Who spoke when on one channel of a whole recording, by VBx: from x-vectors of overlapping windows to turns."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from streams.speech import vbx
from streams.speech.plda import Plda, Vectors
from streams.speech.turns import SpeakerTurn
from streams.speech.vbx_clusters import cluster

Segments = NDArray[np.int64]  #: start and end in ms, (n, 2)


def diarize(
    vectors: Vectors, segments: Segments, plda: Plda, settings: vbx.Settings = vbx.MEETING
) -> list[SpeakerTurn]:
    """Turns, in order and without overlap, of x-vectors (n, values) of `segments`, given in any order.

    They cover what the segments cover: where two that overlap are of different speakers, the turn changes halfway.
    Same vectors, same turns. ValueError where an input is not what it should be, or longer than AHC can hold.
    """
    _check(vectors, segments, plda)
    if not len(vectors):
        return []
    order = np.lexsort((*vectors.T, *segments.T[::-1]))
    speakers = _speakers(vectors[order], plda, settings)
    return _numbered(_turns(zip(speakers.tolist(), *segments[order].T.tolist(), strict=True)))


def _speakers(vectors: Vectors, plda: Plda, settings: vbx.Settings) -> NDArray[np.intp]:
    """The speaker of each of x-vectors in the order of time, (n, values), n >= 1."""
    directions = plda.directions(vectors.astype(np.float64))
    clusters = cluster(directions, settings.threshold)
    started = np.exp(settings.smoothing * (clusters[:, None] == np.arange(clusters.max() + 1)))
    responsibilities = started / started.sum(axis=1, keepdims=True)
    found = vbx.fit(plda.features(directions), plda.between, responsibilities, settings)
    speakers: NDArray[np.intp] = found.responsibilities.argmax(axis=1)
    return speakers


def _turns(spoken: Iterable[tuple[int, int, int]]) -> list[SpeakerTurn]:
    """Of (speaker, start, end) by start, then end."""
    turns: list[SpeakerTurn] = []
    for speaker, start, end in spoken:
        last = turns[-1] if turns else None
        if last is None or last.end_ms < start:
            turns.append(SpeakerTurn(speaker, start, end))
        elif last.speaker == speaker:
            turns[-1] = SpeakerTurn(speaker, last.start_ms, max(last.end_ms, end))
        elif last.end_ms < end:  # else it lies inside the turn
            change = (last.end_ms + start) // 2
            turns[-1] = SpeakerTurn(last.speaker, last.start_ms, change)
            turns.append(SpeakerTurn(speaker, change, end))
    return turns


def _numbered(turns: Iterable[SpeakerTurn]) -> list[SpeakerTurn]:
    numbers = dict[int, int]()
    return [replace(turn, speaker=numbers.setdefault(turn.speaker, len(numbers))) for turn in turns]


def _check(vectors: Vectors, segments: Segments, plda: Plda) -> None:
    wanted = (len(segments), len(plda.mean))
    if vectors.shape != wanted:
        raise ValueError(
            f"x-vectors {vectors.shape}: {wanted} are needed, a row a segment, as wide as the PLDA's network"
        )
    if not np.isfinite(vectors).all():
        raise ValueError("x-vectors: a value is not finite; compute them again")
    if (segments[:, 0] >= segments[:, 1]).any():
        raise ValueError("segments: each must end after it starts")
