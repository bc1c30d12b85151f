"""A corpus's recordings: what their headers say, and the samples of a segment."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from services.training.corpora.corpus import Corpus, Segment
from services.training.errors import CorpusError

Samples = NDArray[np.float32]  #: shape (samples,), full scale 1


@dataclass(frozen=True, slots=True)
class Header:
    """What a recording says of itself."""

    rate: int  #: Hz
    channels: int
    duration_ms: int  #: the last begun millisecond counts


def read_header(path: Path) -> Header:
    """The header of a recording. CorpusError: there is none, or no audio."""
    if not path.is_file():
        raise CorpusError(f"{path}: no such file; correct the path, or remove its line")
    if not path.stat().st_size:
        raise CorpusError(f"{path}: 0 bytes; copy it again, or leave it out")
    try:
        info = soundfile.info(path)
    except soundfile.SoundFileError:
        raise CorpusError(f"{path}: corrupt, or no audio; convert it to WAV or FLAC, or leave it out") from None
    if not info.frames:
        raise CorpusError(f"{path}: holds no audio; record it again, or leave it out")
    return Header(info.samplerate, info.channels, -(-info.frames * 1000 // info.samplerate))


def read_headers(root: Path, names: Iterable[str], problems: list[str]) -> dict[str, Header]:
    """The header of each recording below `root`; what cannot be read is added to `problems`."""
    found = {}
    for name in sorted(set(names)):
        try:
            found[name] = read_header(root / name)
        except CorpusError as error:
            problems.append(str(error))
    return found


def read_samples(corpus: Corpus, segment: Segment) -> Samples:
    """The segment's samples at the recording's own rate. CorpusError: damaged, or samples that are no numbers."""
    path = corpus.recordings / segment.recording
    try:
        with soundfile.SoundFile(path) as file:
            start, end = (at_ms * file.samplerate // 1000 for at_ms in (segment.start_ms, segment.end_ms))
            file.seek(min(start, file.frames))
            samples = file.read(end - start, dtype="float32", always_2d=True)  # (samples, channels)
    except soundfile.SoundFileError:
        read_header(path)  # mostly knows better what is wrong
        raise CorpusError(f"{path}: corrupt; convert it again, or leave it out") from None
    if not np.isfinite(samples).all():
        raise CorpusError(f"{path}: holds samples that are no numbers; convert it again, or leave it out")
    channel: Samples = samples[:, segment.channel]
    return channel


@dataclass(frozen=True, slots=True)
class Found:
    """What an import found: the segments whose sound is there, and every problem, a line each."""

    corpus: Corpus
    problems: Sequence[str]

    def usable(self) -> Corpus:
        """The corpus. CorpusError: every problem, where there is one."""
        if self.problems:
            raise CorpusError("\n".join(self.problems))
        return self.corpus


def found(corpus: Corpus, headers: Mapping[str, Header], problems: Sequence[str]) -> Found:
    """What was found, without segments that no recording holds; without a problem there is none of these."""
    there = [each for each in corpus.segments if each.recording in headers]
    held = [each for each in there if not list(misplaced([each], [""], headers))]
    return Found(replace(corpus, segments=tuple(held)), problems)


def misplaced(segments: Sequence[Segment], places: Sequence[str], headers: Mapping[str, Header]) -> Iterator[str]:
    """What is wrong with where segments lie in their recordings; `places` say where each is written."""
    for segment, place in zip(segments, places, strict=True):
        header = headers.get(segment.recording)
        if segment.start_ms >= segment.end_ms:
            yield f"{place}: ends at {segment.end_ms} ms, before it begins; correct the times"
        elif header and segment.end_ms > header.duration_ms:
            ends = f"ends at {segment.end_ms} ms, {segment.recording} at {header.duration_ms}"
            yield f"{place}: {ends}; correct the times"
        if header and segment.channel >= header.channels:
            yield f"{place}: channel {segment.channel}, {segment.recording} has {header.channels}; count from 0"


def overlaps(segments: Iterable[Segment]) -> Iterator[tuple[Segment, Segment]]:
    """Neighbours in time on one channel of a recording of which the second begins before the first has ended."""
    for _, track in groupby(sorted(segments, key=_in_time), key=lambda each: (each.recording, each.channel)):
        for before, after in pairwise(track):
            if after.start_ms < before.end_ms:
                yield before, after


def _in_time(segment: Segment) -> tuple[str, int, int, int]:
    return segment.recording, segment.channel, segment.start_ms, segment.end_ms
