"""A corpus's segments as a feature hears them: read, mono, in one of two bands, at the rate that is asked for."""

from hashlib import file_digest
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from services.emotion.abstention import Band
from services.training.copies import altered
from services.training.corpora.corpus import Segment
from services.training.errors import CorpusError
from streams.domain.records import Audio, Encoding
from streams.speech.decode import decode, encode
from streams.speech.resample import to_pcm

Samples = NDArray[np.float32]  #: shape (samples,), full scale 1

TELEPHONE_RATE = 8000
ROUNDING_MS = 10  #: that a segment may end behind its recording: times are rounded, and codecs pad


def heard(recordings: Path, segment: Segment, rate: int, band: Band, copy: str = "") -> Samples:
    """The segment's samples at `rate`, or a training copy of them. Reads no other part of its recording.

    Raises CorpusError.
    """
    samples, file_rate = _read(recordings, segment)
    samples = altered(copy, samples, file_rate)
    if band is Band.TELEPHONE:
        samples, file_rate = telephoned(samples, file_rate), TELEPHONE_RATE
    return resampled(samples, file_rate, rate)


def telephoned(samples: Samples, rate: int) -> Samples:
    """What a telephone line leaves of samples at `rate`: `TELEPHONE_RATE`, through G.711 mu-law and back."""
    pcm = to_pcm(resampled(samples, rate, TELEPHONE_RATE)[None])
    line = decode(Audio(Encoding.PCMU, TELEPHONE_RATE, 1, encode(Encoding.PCMU, pcm)))
    passed: Samples = line[0].astype(np.float32) / np.float32(32768)
    return passed


def resampled(samples: Samples, rate: int, to: int) -> Samples:
    """The samples at `to` Hz; the same bits where nothing is to be done."""
    found: Samples = samples if rate == to else soxr.resample(samples, rate, to)
    return found


def fingerprint(recording: Path) -> str:
    """sha256 of a recording's bytes. Raises CorpusError."""
    try:
        with recording.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CorpusError(f"{recording}: cannot be read ({error.strerror}); check the corpus's folder") from error


def place(recordings: Path, segment: Segment) -> str:
    """Where a segment lies, for a person to find: file, from and to in seconds."""
    return f"{recordings / segment.recording}, {segment.start_ms / 1000:.3f} to {segment.end_ms / 1000:.3f} s"


def _read(recordings: Path, segment: Segment) -> tuple[Samples, int]:
    """The segment's channel, and the file's rate."""
    path, where = recordings / segment.recording, place(recordings, segment)
    if not path.is_file():
        raise CorpusError(f"{path}: no such file; check the corpus's folder")
    try:
        with soundfile.SoundFile(path) as file:
            if problem := _problem(file, segment):
                raise CorpusError(f"{where}: {problem}; correct the segment")
            rate = file.samplerate
            start, end = (at * rate // 1000 for at in (segment.start_ms, segment.end_ms))
            file.seek(start)
            samples = file.read(end - start, dtype="float32", always_2d=True)[:, segment.channel]
    except soundfile.SoundFileError as error:
        raise CorpusError(f"{where}: cannot be read as audio; record or convert the file again") from error
    if len(samples) < end - start - ROUNDING_MS * rate // 1000:
        raise CorpusError(f"{where}: the file breaks off; record or convert it again")
    if not np.isfinite(samples).all():
        raise CorpusError(f"{where}: holds samples that are no numbers; convert the file again")
    return np.ascontiguousarray(samples), rate


def _problem(file: soundfile.SoundFile, segment: Segment) -> str:
    """What keeps the segment from lying in the file; "" where nothing does."""
    if segment.channel >= file.channels:
        return f"channel {segment.channel} is not there, the file has {file.channels}"
    if not 0 <= segment.start_ms < segment.end_ms:
        return "has no length"
    length_ms = file.frames * 1000 // file.samplerate
    if segment.end_ms > length_ms + ROUNDING_MS or segment.start_ms >= length_ms:
        return f"the file ends at {length_ms / 1000:.3f} s"
    return ""
