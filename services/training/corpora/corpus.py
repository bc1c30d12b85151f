"""A corpus: segments of speech and what annotators, and then experts, said of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

DIMENSIONS = ("category", "valence", "arousal")
SEXES = {"f": "women", "m": "men"}  #: as tables write a speaker's, and as reports call those who are of it
EXPERTS = "experts"  #: the annotator whose word is a verdict


class Cut(StrEnum):
    """Who cut the segments."""

    BY_CORPUS = "by the corpus"
    BY_RULE = "by the window rule"


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of one person's speech. Every text in it is a pseudonym or a code, never a name or spoken words."""

    id: str  #: unique in the corpus
    recording: str  #: path below the corpus's recordings
    start_ms: int
    end_ms: int
    speaker: str
    conversation: str  #: no conversation lies in two folds; a corpus of single sentences has one each speaker
    channel: int = 0
    session: str = ""  #: what the corpus's own folds are, where it has some (IEMOCAP)
    sex: str = ""  #: one of `SEXES`; "" where it is not known
    language: str = ""  #: BCP 47
    text: str = ""  #: which sentence is read out, where it is known

    @property
    def duration_ms(self) -> int:
        """How long it lasts."""
        return self.end_ms - self.start_ms


@dataclass(frozen=True, slots=True)
class Annotation:
    """What one person said of one segment."""

    segment: str
    annotator: str
    labels: Mapping[str, str]  #: dimension -> raw label; a dimension that was not judged is missing


@dataclass(frozen=True, slots=True)
class Corpus:
    """Segments in a fixed order; `verdicts` are the experts' and settle what annotators disagreed on."""

    name: str
    recordings: Path
    segments: tuple[Segment, ...]
    annotations: tuple[Annotation, ...]
    cut: Cut
    verdicts: tuple[Annotation, ...] = ()
    source: str = field(default="", repr=False)  #: where it is from and under what licence, for cards and reports


def segment_id(recording: str, start_ms: int, end_ms: int, channel: int = 0) -> str:
    """The id of a stretch of a recording that its corpus gives none."""
    return f"{recording}:{start_ms}-{end_ms}" + (f":{channel}" if channel else "")
