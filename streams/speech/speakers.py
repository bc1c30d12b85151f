"""Two voices told apart by the pieces of speech that are remembered of a call.

The remembered pieces are split in two by expectation maximisation over two Gaussians of a speaker's own variance, with
neighbours in a run of speech drawn to one voice (the mean field of a hidden Markov random field), from several starts:
a function of what is remembered, so that a call which is resumed goes on as it would have.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from streams.domain.pieces import Piece
from streams.domain.roles import Likeness
from streams.domain.voices import REMEMBERED, Memory, Voices
from streams.speech.products import Floats

_Doubles = NDArray[np.float64]

SHORTEST_MS = 384  #: piece that a speaker is told from
_LEAST = 6  #: pieces before a second voice is looked for
_STARTS = 3  #: principal directions along which the pieces are first split
_ROUNDS = 10
_TOGETHER = 1.5  #: log-odds by which a neighbour in the run draws a piece to its voice
_WEIGHT = 1.0  #: of a piece's evidence beside its neighbours'
_OPENING = 3  #: pieces at a call's start that tell who speaks first; never forgotten
_SETTLED = 0.5  #: how near the opening lies to one voice where the voices keep their order from then on

_NOT_KNOWN = Likeness(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def tell(
    memory: Memory, pieces: Sequence[Piece], vectors: Sequence[Floats], *, after_ms: int = 0, space: str = ""
) -> tuple[Memory, list[Likeness | None]]:
    """Compare pieces that follow each other with the voices before them, and remember them.

    `vectors` are of those that are `long_enough`, in order. None is too short to tell, began before `after_ms`, or is
    an announcement's. What lies before an announcement without a pause is forgotten: it may be its beginning.

    Where what is remembered is of another `space`, nothing is certain any more: who spoke first cannot be learnt again
    in the middle of a call.
    """
    if memory.space != space and (memory.vectors or memory.run):
        return memory, [_NOT_KNOWN for _ in pieces]
    found, left = list[Likeness | None](), iter(vectors)
    for piece in pieces:
        vector = next(left) if long_enough(piece) else None
        if not piece.joined:
            memory = learn(memory)
        if piece.announced:
            memory = replace(memory, run=())
        if piece.announced or vector is None or piece.start_ms < after_ms:
            found.append(None)
            continue
        found.append(likeness(memory.voices, vector))
        memory = replace(memory, run=(*memory.run, vector.astype("<f4").tobytes()), space=space)
    return memory, found


def long_enough(piece: Piece) -> bool:
    """Whether a speaker is told from it."""
    return piece.end_ms - piece.start_ms >= SHORTEST_MS


def likeness(voices: Voices | None, vector: Floats) -> Likeness:
    """A piece beside the voices; of voices that are not there yet, nothing is certain."""
    if voices is None:
        return _NOT_KNOWN
    means = np.frombuffer(voices.means, "<f4").reshape(2, -1).astype(np.float64)
    spread = 1 + 1 / np.array(voices.pieces)
    distances = ((means - vector) ** 2).sum(axis=1) / spread / max(voices.spread, 1.0)
    log_odds = (distances[1] - distances[0]) / 2 + len(vector) / 2 * np.log(spread[1] / spread[0])
    return Likeness(
        first=float(log_odds),
        place=float((means[0] - means[1]) @ (2 * vector - means.sum(axis=0)) / ((means[0] - means[1]) ** 2).sum()),
        distance=float(distances.min() / len(vector)),
        separation=voices.separation,
        opening=voices.opening,
        pieces=min(voices.pieces),
    )


def learn(memory: Memory) -> Memory:
    """The run of speech is over: what was heard in it counts from now on."""
    if not memory.run:
        return memory
    vectors = (*memory.vectors, *memory.run)
    joined = (*memory.joined, *(index > 0 for index in range(len(memory.run))))
    voices = None
    if len(vectors) >= _LEAST:
        stacked = np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), -1).astype(np.float64)
        voices, first = _split(stacked, np.array(joined), memory.voices)
        for index in _forgotten(first):
            vectors, joined = vectors[:index] + vectors[index + 1 :], joined[:index] + joined[index + 1 :]
    return Memory(vectors, joined, (), voices, memory.space)


def _split(vectors: _Doubles, joined: NDArray[np.bool_], before: Voices | None) -> tuple[Voices, _Doubles]:
    """The two voices, and how likely each piece is the first one's.

    Their order is the opening's until that was clear once; then it is kept, and where the opening comes to contradict
    it, nothing is certain any more.
    """
    first = _fit(vectors, joined, _starts(vectors))
    if before is not None and before.settled:
        turned = _turned(before, _means(vectors, first)[0])
    else:
        turned = _opening(vectors, first) < 0
    first = 1 - first if turned else first
    opening = _opening(vectors, first)
    means, counts = _means(vectors, first)
    distances = ((vectors[:, np.newaxis] - means) ** 2).sum(axis=2)  # (pieces, voices)
    own = float((first * distances[:, 0] + (1 - first) * distances[:, 1]).sum())
    voices = Voices(
        means=means.astype("<f4").tobytes(),
        pieces=(float(counts[0]), float(counts[1])),
        spread=own / (len(vectors) - 2) / vectors.shape[1],
        separation=float(((means[0] - means[1]) ** 2).sum() - vectors.shape[1] * (1 / counts).sum()),
        opening=opening,
        settled=opening >= _SETTLED or (before is not None and before.settled),
    )
    return voices, first


def _starts(vectors: _Doubles) -> _Doubles:
    """On which side of the mean each piece lies, along each direction in which they differ most: (starts, n)."""
    centred = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    sides: NDArray[np.bool_] = directions.T[: -_STARTS - 1 : -1] @ centred.T > 0
    return sides.astype(np.float64)


def _fit(vectors: _Doubles, joined: NDArray[np.bool_], first: _Doubles) -> _Doubles:
    """How likely each piece is the first voice's, from the start whose two voices explain all pieces best."""
    couples = joined[1:] * _TOGETHER
    for _ in range(_ROUNDS):
        odds = _odds(vectors, *_both(vectors, first))
        drawn = 2 * first - 1
        odds[:, 1:] += couples * drawn[:, :-1]
        odds[:, :-1] += couples * drawn[:, 1:]
        first = 1 / (1 + np.exp(-np.clip(odds, -50, 50)))
    one, other = _both(vectors, first)
    # The logarithm of both voices' likelihoods, up to what all starts share.
    towards = np.logaddexp(_odds(vectors, one, other), 0) + _odds(vectors, other, np.zeros_like(other))
    best: _Doubles = first[towards.sum(axis=1).argmax()]
    return best


def _both(vectors: _Doubles, first: _Doubles) -> tuple[_Doubles, _Doubles]:
    """Means of either voice: (..., n) -> (..., dimensions)."""
    one, other = first + 1e-6, 1 + 1e-6 - first
    return one @ vectors / one.sum(axis=-1, keepdims=True), other @ vectors / other.sum(axis=-1, keepdims=True)


def _odds(vectors: _Doubles, one: _Doubles, other: _Doubles) -> _Doubles:
    """Log-odds that each piece is of the one voice rather than the other: (..., n)."""
    away = ((one**2).sum(axis=-1) - (other**2).sum(axis=-1)) / 2
    odds: _Doubles = _WEIGHT * ((one - other) @ vectors.T - away[..., np.newaxis])
    return odds


def _means(vectors: _Doubles, first: _Doubles) -> tuple[_Doubles, _Doubles]:
    return np.stack(_both(vectors, first)), np.array((first.sum(), (1 - first).sum())) + 1e-6


def _opening(vectors: _Doubles, first: _Doubles) -> float:
    """Where the call's first pieces lie between the voices, each voice without the piece: from 1, the first, to -1."""
    places = []
    for index in range(_OPENING):
        others = np.arange(len(vectors)) != index
        one, other = _both(vectors[others], first[others])
        place = (one - other) @ (2 * vectors[index] - one - other) / ((one - other) ** 2).sum()
        places.append(np.clip(place, -1, 1))
    return float(np.mean(places))


def _turned(before: Voices, means: _Doubles) -> bool:
    """Whether the voices have changed places since before."""
    known = np.frombuffer(before.means, "<f4").reshape(2, -1)
    kept, turned = (((means - order) ** 2).sum() for order in (known, known[::-1]))
    return bool(turned < kept)


def _forgotten(first: _Doubles) -> list[int]:
    """Which pieces no longer fit into what is remembered: the oldest of the voice that is heard more."""
    gone: list[int] = []
    kept = list(range(len(first)))
    while len(kept) > REMEMBERED:
        of_first = [index for index in kept if first[index] >= 0.5]
        fuller = of_first if 2 * len(of_first) >= len(kept) else [index for index in kept if first[index] < 0.5]
        oldest = next(index for index in fuller if index >= _OPENING)
        kept.remove(oldest)
        gone.append(oldest)
    return sorted(gone, reverse=True)
