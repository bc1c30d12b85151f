from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.emotion.abstention import Band
from services.training.audio import fingerprint, heard, telephoned
from services.training.corpora.corpus import Segment
from services.training.errors import CorpusError


def segment(start_ms: int, end_ms: int, recording: str = "a.wav", channel: int = 0) -> Segment:
    return Segment("1", recording, start_ms, end_ms, "speaker", "call", channel=channel)


def noise(samples: int, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(-9000, 9000, (samples, channels)).astype(np.int16)


def write(path: Path, samples: np.ndarray, rate: int = 16_000, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, 1998), length=st.integers(1, 2000), channel=st.integers(0, 1), name=st.sampled_from("wf"))
def test_a_segment_is_its_own_part_of_its_own_channel(
    tmp_path: Path, start: int, length: int, channel: int, name: str
) -> None:
    end, pcm = min(start + length, 2000), noise(32_000)
    for path in (tmp_path / "w.wav", tmp_path / "f.flac"):
        path.exists() or write(path, pcm)
    found = heard(tmp_path, segment(start, end, {"w": "w.wav", "f": "f.flac"}[name], channel), 16_000, Band.WIDE)
    assert found.dtype == np.float32
    assert np.array_equal(found * 32768, pcm[start * 16 : end * 16, channel])


def test_wide_band_is_as_recorded_at_the_rate_that_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", noise(32_000))
    plain = heard(tmp_path, segment(500, 1500), 16_000, Band.WIDE)
    assert np.array_equal(heard(tmp_path, segment(500, 1500), 8000, Band.WIDE), soxr.resample(plain, 16_000, 8000))


def test_the_telephone_leaves_mu_laws_levels_and_nothing_above_4_khz(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", noise(32_000))
    line = heard(tmp_path, segment(500, 1500), 8000, Band.TELEPHONE)
    assert len(line) == 8000
    assert len(np.unique(line)) <= 256
    again = heard(tmp_path, segment(500, 1500), 16_000, Band.TELEPHONE)
    power = np.abs(np.fft.rfft(again)) ** 2
    assert power[4200:].sum() < 1e-3 * power.sum()


def test_what_came_through_a_telephone_passes_it_unchanged() -> None:
    line = telephoned(noise(16_000, 1)[:, 0].astype(np.float32) / 32768, 16_000)
    assert np.array_equal(telephoned(line, 8000), line)


def test_a_segment_may_end_a_rounding_behind_its_recording(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", noise(16_000))
    assert len(heard(tmp_path, segment(0, 1008), 16_000, Band.WIDE)) == 16_000


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"end_ms": 1100}, r"a\.wav, 0\.000 to 1\.100 s: the file ends at 1\.000 s; correct"),
        ({"start_ms": 1000, "end_ms": 1009}, r"the file ends at 1\.000 s"),
        ({"start_ms": 900}, "has no length"),
        ({"start_ms": -5}, "has no length"),
        ({"channel": 2}, "channel 2 is not there, the file has 2"),
        ({"recording": "b.wav"}, r"b\.wav: no such file"),
        ({"recording": "empty.wav"}, r"empty\.wav, 0\.000 to 0\.900 s: cannot be read as audio"),
        ({"recording": "text.wav"}, r"text\.wav, 0\.000 to 0\.900 s: cannot be read as audio"),
        ({"recording": "silent.wav"}, r"silent\.wav, .*: the file ends at 0\.000 s"),
        ({"recording": "nan.wav"}, r"nan\.wav, .*: holds samples that are no numbers"),
        ({"recording": "cut.flac"}, r"cut\.flac, .*: (cannot be read as audio|the file breaks off)"),
    ],
)
def test_what_cannot_be_heard_is_told_with_file_place_and_remedy(
    tmp_path: Path, change: dict[str, object], what: str
) -> None:
    write(tmp_path / "a.wav", noise(16_000))
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("no audio")
    write(tmp_path / "silent.wav", noise(0))
    write(tmp_path / "nan.wav", np.full((16_000, 1), np.nan), subtype="FLOAT")
    whole = write(tmp_path / "whole.flac", noise(16_000)).read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorpusError, match=what) as refused:
        heard(tmp_path, replace(segment(0, 900), **change), 16_000, Band.WIDE)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_a_recording_is_known_by_its_bytes(tmp_path: Path) -> None:
    one, other = (write(tmp_path / name, noise(100 + at)) for at, name in enumerate(("a.wav", "b.wav")))
    assert fingerprint(one) != fingerprint(other)
    other.write_bytes(one.read_bytes())
    assert fingerprint(one) == fingerprint(other)
    with pytest.raises(CorpusError, match=r"c\.wav: cannot be read"):
        fingerprint(tmp_path / "c.wav")
