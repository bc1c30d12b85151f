from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.recordings import RecordingError, call_records, chunks, open_recording, read
from streams.domain.records import Audio, Encoding, Ended, Role, Started
from streams.speech.decode import decode

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
STARTED = Started(use_case="demo", channels=(Role.AGENT, Role.CUSTOMER), language="en")


def noise(samples: int, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(-9000, 9000, (channels, samples)).astype(np.int16)


def write(path: Path, pcm: np.ndarray, rate: int = 8000, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, pcm.T, rate, subtype=subtype)
    return path


def joined(audio: list[Audio]) -> np.ndarray:
    return np.concatenate([decode(chunk) for chunk in audio], axis=1)


@pytest.mark.parametrize("name", ["call.wav", "call.flac"])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_pcm_at_a_published_rate_is_read_to_the_bit(tmp_path: Path, name: str, rate: int) -> None:
    pcm = noise(rate * 2 + 3)
    assert np.array_equal(read(open_recording(write(tmp_path / name, pcm, rate))), pcm)


@pytest.mark.parametrize(("subtype", "encoding"), [("ULAW", Encoding.PCMU), ("ALAW", Encoding.PCMA)])
def test_a_g711_recording_is_published_as_it_is(tmp_path: Path, subtype: str, encoding: Encoding) -> None:
    recording = open_recording(write(tmp_path / "call.wav", noise(8000), subtype=subtype))
    published = list(chunks(recording))
    assert {chunk.encoding for chunk in published} == {encoding}
    assert np.array_equal(joined(published), read(recording))


@pytest.mark.parametrize(("rate", "published"), [(11025, 8000), (22050, 16000), (44100, 16000), (48000, 16000)])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
def test_another_rate_is_resampled_and_keeps_its_length(
    tmp_path: Path, rate: int, published: int, subtype: str
) -> None:
    recording = open_recording(write(tmp_path / "call.wav", noise(rate * 3, 1), rate, subtype))
    assert (recording.rate, recording.encoding, recording.duration_ms) == (published, Encoding.L16, 3000)
    assert read(recording).shape == (1, published * 3)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(samples=st.integers(1, 20_000), chunk_ms=st.integers(1, 5000), channels=st.integers(1, 2))
def test_chunks_joined_are_the_recording_and_under_a_millisecond_of_silence(
    tmp_path: Path, samples: int, chunk_ms: int, channels: int
) -> None:
    pcm = noise(samples, channels)
    published = list(chunks(open_recording(write(tmp_path / "call.wav", pcm)), chunk_ms))
    whole = joined(published)
    assert np.array_equal(whole[:, :samples], pcm)
    assert whole.shape[1] - samples < 8
    assert not whole[:, samples:].any()
    assert all(chunk.duration_ms == chunk_ms for chunk in published[:-1])


def test_a_call_is_told_from_its_start_to_its_end(tmp_path: Path) -> None:
    recording = open_recording(write(tmp_path / "call.wav", noise(3604)))
    records = list(call_records(recording, call_id="c", started=STARTED, at=AT))
    assert [record.sequence for record in records] == [0, 1, 2, 3, 4]
    assert [record.media_ms for record in records] == [0, 0, 200, 400, 451]
    assert [(record.logged_at - AT).total_seconds() for record in records] == [0, 0.2, 0.4, 0.451, 0.451]
    assert records[0].body == STARTED
    assert all(isinstance(record.body, Audio) for record in records[1:-1])
    assert records[-1].body == Ended("recording_over")


def test_roles_that_do_not_fit_the_channels_are_refused(tmp_path: Path) -> None:
    recording = open_recording(write(tmp_path / "mono.wav", noise(800, 1)))
    with pytest.raises(RecordingError, match=r"mono\.wav: 1 channel\(s\), but 2 role\(s\) named"):
        list(call_records(recording, call_id="c", started=STARTED, at=AT))


@pytest.mark.parametrize("chunk_ms", [0, -1, 5001])
def test_chunks_that_no_stage_would_accept_are_refused(tmp_path: Path, chunk_ms: int) -> None:
    with pytest.raises(RecordingError, match="choose 1 to 5000"):
        list(chunks(open_recording(write(tmp_path / "call.wav", noise(800))), chunk_ms))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"gone\.wav: no such file; check the path"):
        open_recording(tmp_path / "gone.wav")


def test_a_folder_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no such file"):
        open_recording(tmp_path)


@pytest.mark.parametrize("content", [b"", b"Dear Sir or Madam", b"RIFF\x00\x00\x00\x00WAVE"])
def test_a_file_that_is_no_audio_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "letter.wav").write_bytes(content)
    with pytest.raises(RecordingError, match=r"letter\.wav: not audio that can be read; convert it"):
        open_recording(tmp_path / "letter.wav")


@pytest.mark.parametrize(
    ("pcm", "rate", "message"),
    [
        (noise(100, 3), 8000, "3 channels; mix it down"),
        (noise(100), 6000, "6000 Hz; 8000 to 48000"),
        (noise(100), 96000, "96000 Hz; 8000 to 48000"),
        (noise(0), 8000, "holds no audio"),
    ],
)
def test_a_recording_that_cannot_be_a_call_is_refused(tmp_path: Path, pcm: np.ndarray, rate: int, message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        open_recording(write(tmp_path / "call.wav", pcm, rate))


def test_a_recording_of_a_whole_day_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "day.au", noise(8000, 1), subtype="ULAW")
    with path.open("r+b") as file:
        file.seek(8)
        file.write(b"\xff\xff\xff\xff")  # "length unknown": up to the file's end
        file.truncate(24 * 3600 * 8000)  # sparse: takes no disk
    with pytest.raises(RecordingError, match=r"day\.au: longer than 12 hours"):
        open_recording(path)


def test_a_damaged_recording_is_named_when_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "call.flac", noise(80_000))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(bytes(data))
    with pytest.raises(RecordingError, match=r"call\.flac: damaged"):
        read(open_recording(path))
