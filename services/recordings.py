"""Recordings of calls as they lie on a disk: checked, read block by block and cut into the records of a call."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import soundfile

from streams.domain.records import MAX_CHUNK_MS, Audio, CallRecord, Encoding, Ended, Started
from streams.speech.decode import Pcm, encode
from streams.speech.resample import Floats, published_rate, resampled, to_pcm

RATES = range(8000, 48001)
MAX_CHANNELS = 2
MAX_HOURS = 12
CHUNK_MS = 200

#: libsndfile's names for G.711
_G711 = {"ULAW": Encoding.PCMU, "ALAW": Encoding.PCMA}


class RecordingError(ValueError):
    """A file cannot be used as a call's recording. One line: the file, what is wrong, the remedy."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A file that was found fit to be published: `rate` and `encoding` are those that it is published in."""

    path: Path
    file_rate: int
    rate: int
    channels: int
    encoding: Encoding
    duration_ms: int  #: as the file's header says, to the next whole millisecond


def open_recording(path: Path) -> Recording:
    """Check what the file says of itself. Raises RecordingError."""
    with _open(path) as file:
        if file.samplerate not in RATES:
            raise RecordingError(f"{path}: {file.samplerate} Hz; 8000 to 48000 Hz are read: resample it first")
        if file.channels > MAX_CHANNELS:
            raise RecordingError(f"{path}: {file.channels} channels; mix it down to 1 or 2, a speaker each")
        if not file.frames:
            raise RecordingError(f"{path}: holds no audio; record it again")
        if file.frames > MAX_HOURS * 3600 * file.samplerate:
            raise RecordingError(f"{path}: longer than {MAX_HOURS} hours; cut it into its calls")
        rate = published_rate(file.samplerate)
        encoding = _G711.get(file.subtype, Encoding.L16) if rate == file.samplerate else Encoding.L16
        duration_ms = -(-file.frames * 1000 // file.samplerate)
        return Recording(path, file.samplerate, rate, file.channels, encoding, duration_ms)


def read(recording: Recording) -> Pcm:
    """All of the recording, shape (channels, samples) at its published rate."""
    return np.concatenate(list(_blocks(recording)), axis=1)


def chunks(recording: Recording, chunk_ms: int = CHUNK_MS) -> Iterator[Audio]:
    """Cut the recording into chunks; the last is filled up with silence to a whole millisecond."""
    if not 0 < chunk_ms <= MAX_CHUNK_MS:
        raise RecordingError(f"{recording.path}: chunks of {chunk_ms} ms; choose 1 to {MAX_CHUNK_MS}")
    size = recording.rate * chunk_ms // 1000
    waiting: Pcm = np.zeros((recording.channels, 0), np.int16)
    for block in _blocks(recording):
        waiting = np.concatenate((waiting, block), axis=1)
        whole = waiting.shape[1] // size * size
        for start in range(0, whole, size):
            yield _audio(recording, waiting[:, start : start + size])
        waiting = waiting[:, whole:]
    if waiting.shape[1]:
        missing = -waiting.shape[1] % (recording.rate // 1000)
        yield _audio(recording, np.pad(waiting, ((0, 0), (0, missing))))


def call_records(
    recording: Recording, *, call_id: str, started: Started, at: datetime, chunk_ms: int = CHUNK_MS
) -> Iterator[CallRecord]:
    """Tell the recording as a call that began at `at`: started, its audio, ended.

    `logged_at` is when a live call would have sent the record. Raises RecordingError where the roles do not fit.
    """
    if len(started.channels) != recording.channels:
        named, held = len(started.channels), recording.channels
        raise RecordingError(f"{recording.path}: {held} channel(s), but {named} role(s) named; name one each")
    yield CallRecord(call_id, 0, 0, at, started)
    sequence, media_ms = 1, 0
    for chunk in chunks(recording, chunk_ms):
        sent_at = at + timedelta(milliseconds=media_ms + chunk.duration_ms)
        yield CallRecord(call_id, sequence, media_ms, sent_at, chunk)
        sequence, media_ms = sequence + 1, media_ms + chunk.duration_ms
    yield CallRecord(call_id, sequence, media_ms, at + timedelta(milliseconds=media_ms), Ended("recording_over"))


def _open(path: Path) -> soundfile.SoundFile:
    if not path.is_file():
        raise RecordingError(f"{path}: no such file; check the path")
    try:
        return soundfile.SoundFile(path)
    except soundfile.SoundFileError:
        message = f"{path}: not audio that can be read; convert it to WAV or FLAC, PCM or G.711"
        raise RecordingError(message) from None


def _blocks(recording: Recording) -> Iterator[Pcm]:
    """About a second each, shape (channels, samples), at the published rate."""
    for block in resampled(_file_blocks(recording), recording.file_rate, recording.rate):
        yield to_pcm(block)


def _file_blocks(recording: Recording) -> Iterator[Floats]:
    """Shape (channels, samples), at the file's rate."""
    size = recording.file_rate
    try:
        for block in soundfile.blocks(recording.path, size, dtype="float32", always_2d=True):
            yield np.ascontiguousarray(block.T)
    except soundfile.SoundFileError:
        raise RecordingError(f"{recording.path}: damaged; record or convert it again") from None


def _audio(recording: Recording, pcm: Pcm) -> Audio:
    data = encode(recording.encoding, pcm)
    return Audio(recording.encoding, recording.rate, recording.channels, data)
