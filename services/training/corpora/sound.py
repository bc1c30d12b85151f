"""What is heard of a corpus: files that cannot be read, segments that hold no usable speech, and copies."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np

from services.emotion.abstention import CLIPPED_SHARE, FULL_SCALE, SILENT_RMS
from services.training.corpora.corpus import Corpus, Segment
from services.training.corpora.recordings import Samples, read_samples
from services.training.errors import CorpusError


@dataclass(slots=True)
class Heard:
    """A line for each fault, with file and time."""

    unreadable: list[str] = field(default_factory=list)  #: nothing can be done with them
    unsound: list[str] = field(default_factory=list)  #: silent or clipped: no bundle would judge them
    copies: list[str] = field(default_factory=list)  #: the same samples as an earlier segment


def hear(corpus: Corpus, tick: Callable[[], None] = lambda: None) -> Heard:
    """Listen to every segment; `tick` is called once for each."""
    heard, first = Heard(), dict[bytes, Segment]()
    unreadable = set[str]()
    for segment in corpus.segments:
        try:
            samples = read_samples(corpus, segment)
        except CorpusError as error:
            unreadable.add(str(error))
        else:
            faults = [f"{place(corpus, segment)}: {fault}" for fault in _faults(samples)]
            heard.unsound += faults
            known = first.setdefault(sha256(samples.tobytes()).digest(), segment)
            if known is not segment and not faults:
                heard.copies.append(f"{place(corpus, segment)}: the same sound as {known.id}; keep one of them")
        tick()
    heard.unreadable = sorted(unreadable)
    return heard


def place(corpus: Corpus, segment: Segment) -> str:
    """Where a segment is: file, and time in seconds."""
    path = corpus.recordings / segment.recording
    return f"{path}, {segment.start_ms / 1000:.3f} to {segment.end_ms / 1000:.3f} s"


def _faults(samples: Samples) -> Iterator[str]:
    if not len(samples) or samples.std() < SILENT_RMS:
        yield "silent; check its times and its channel, or leave it out"
        return
    clipped = float((np.abs(samples) >= FULL_SCALE).mean())
    if clipped > CLIPPED_SHARE:
        yield f"{clipped:.0%} of it clipped; record it at a lower level, or leave it out"
