"""Diarization error rate, confusion, miss and false alarm of turns against a reference, by pyannote.metrics.

reference   AAAAAAAAAA--BBBBBBBB
turns       1111-11111-111122222
                m     f ccc         m miss, f false alarm, c confusion (1 is A, 2 is B)
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate
from pyannote.metrics.identification import IdentificationErrorRate

from services.emotion.manifest import Score
from services.training.intervals import draws, interval, resampled
from streams.speech.turns import SpeakerTurn

PARTS = ("total", "missed detection", "false alarm", "confusion")  #: pyannote's names of the fields of `Errors`


@dataclass(frozen=True, slots=True)
class Errors:
    """Milliseconds of speakers' time, where two speak that of each."""

    spoken: int  #: in the reference
    missed: int
    false_alarm: int
    confused: int


@dataclass(frozen=True, slots=True)
class Rates:
    """Percent of the reference's speech, all that was measured together, with 95 % intervals."""

    total: Score  #: the diarization error rate
    confusion: Score
    missed: float
    false_alarm: float


def annotated(turns: Sequence[SpeakerTurn]) -> Annotation:
    """Turns as pyannote has them."""
    found = Annotation()
    for number, turn in enumerate(turns):
        found[Segment(turn.start_ms / 1000, turn.end_ms / 1000), number] = turn.speaker
    return found


@dataclass(frozen=True, slots=True)
class Protocol:
    """What is not counted."""

    collar_s: float = 0.0  #: on each side of where a turn of the reference begins or ends
    overlap: bool = True  #: False leaves out the time in which several speak


FULL, FAIR, FORGIVING = Protocol(), Protocol(0.25), Protocol(0.25, overlap=False)  #: as the literature calls them


def errors(
    reference: Annotation, turns: Annotation, parts: Sequence[Timeline], protocol: Protocol = FULL
) -> list[Errors]:
    """Of each of `parts` by itself, the speakers matched over all of them together."""
    whole = Timeline([segment for part in parts for segment in part]).support()
    uncounted = {"collar": 2 * protocol.collar_s, "skip_overlap": not protocol.overlap}  # its collar is both sides'
    matcher, metric = DiarizationErrorRate(), IdentificationErrorRate(**uncounted)
    matched = turns.rename_labels(matcher.optimal_mapping(*matcher.uemify(reference, turns, uem=whole, **uncounted)))
    each = (metric(reference, matched, uem=part, detailed=True) for part in parts)
    return [Errors(*(round(1000 * found[name]) for name in PARTS)) for found in each]


def rates(each: Sequence[Errors]) -> Rates:
    """Of files, or parts of one, that a bootstrap draws with replacement."""
    counts = np.array([astuple(one) for one in each], np.int64)
    found, values = _percent(counts.sum(axis=0)), resampled(_percent, counts, draws(len(counts)))
    total = interval(float(found[1:].sum()), values[:, 1:].sum(axis=1))
    return Rates(total, interval(float(found[3]), values[:, 3]), float(found[1]), float(found[2]))


def _percent(sums: NDArray[np.number]) -> NDArray[np.float64]:
    """(..., spoken and three errors) in percent of what is spoken."""
    return 100 * sums / np.maximum(sums[..., :1], 1)


def unspoken(reference: Annotation, scored: Timeline, speaker: str) -> list[tuple[Segment, str]]:
    """Every piece of `scored` in which the speaker is silent, and who speaks there: nobody, or all who do."""
    silent = reference.label_timeline(speaker).gaps
    return [(piece, _who(reference, piece)) for span in scored for piece in silent(support=span)]


def _who(reference: Annotation, piece: Segment) -> str:
    return ", ".join(sorted(reference.crop(piece).labels())) or "nobody"
