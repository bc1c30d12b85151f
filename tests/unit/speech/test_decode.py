import io
from hashlib import sha256

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streams.domain.records import Audio, Encoding
from streams.speech.decode import decode, encode

G711 = {Encoding.PCMU: "ULAW", Encoding.PCMA: "ALAW"}
ALL_CODES = bytes(range(256))
ALL_SAMPLES = np.arange(-32768, 32768, dtype=np.int16)[np.newaxis]  # (1, 65536)

pcm = arrays(np.int16, st.tuples(st.integers(1, 2), st.integers(0, 64)))


def chunk(encoding: Encoding, data: bytes, channels: int = 1) -> Audio:
    return Audio(encoding=encoding, rate=8000, channels=channels, data=data)


@pytest.mark.parametrize(
    ("encoding", "code", "level"),
    [
        # The ends and the middle of the tables of ITU-T G.711, 14 and 13 bits scaled to 16.
        (Encoding.PCMU, 0xFF, 0),
        (Encoding.PCMU, 0x7F, 0),
        (Encoding.PCMU, 0x80, 32124),
        (Encoding.PCMU, 0x00, -32124),
        (Encoding.PCMU, 0xEF, 132),
        (Encoding.PCMA, 0xD5, 8),
        (Encoding.PCMA, 0x55, -8),
        (Encoding.PCMA, 0xAA, 32256),
        (Encoding.PCMA, 0x2A, -32256),
    ],
)
def test_codes_have_the_levels_of_the_standard(encoding: Encoding, code: int, level: int) -> None:
    assert decode(chunk(encoding, bytes([code]))).tolist() == [[level]]


@pytest.mark.parametrize("encoding", G711)
def test_every_code_decodes_as_libsndfile_decodes_it(encoding: Encoding) -> None:
    expected, _ = soundfile.read(
        io.BytesIO(ALL_CODES),
        dtype="int16",
        samplerate=8000,
        channels=1,
        format="RAW",
        subtype=G711[encoding],
    )
    assert decode(chunk(encoding, ALL_CODES)).tolist() == [expected.tolist()]


@pytest.mark.parametrize("encoding", G711)
def test_every_sample_encodes_as_libsndfile_encodes_it(encoding: Encoding) -> None:
    file = io.BytesIO()
    soundfile.write(file, ALL_SAMPLES[0], 8000, format="RAW", subtype=G711[encoding])
    assert encode(encoding, ALL_SAMPLES) == file.getvalue()


def test_l16_is_big_endian_and_channels_are_interleaved() -> None:
    audio = chunk(Encoding.L16, b"\x00\x01\x7f\xff\xff\xff\x80\x00", channels=2)
    assert decode(audio).tolist() == [[1, -1], [32767, -32768]]
    assert encode(Encoding.L16, decode(audio)) == audio.data


@pytest.mark.parametrize(("encoding", "channels"), [(Encoding.L16, 1), (Encoding.PCMU, 2)])
def test_a_chunk_that_ends_inside_a_frame_is_refused(encoding: Encoding, channels: int) -> None:
    with pytest.raises(ValueError, match=r"buffer|reshape"):
        decode(chunk(encoding, b"\x00\x00\x00", channels))


@pytest.mark.parametrize("encoding", G711)
def test_a_code_survives_decoding_and_encoding(encoding: Encoding) -> None:
    again = encode(encoding, decode(chunk(encoding, ALL_CODES)))
    doubled = {0x7F: 0xFF} if encoding is Encoding.PCMU else {}  # mu-law has a minus zero
    assert list(again) == [doubled.get(code, code) for code in ALL_CODES]


@given(pcm)
def test_l16_loses_nothing(samples: np.ndarray) -> None:
    audio = chunk(Encoding.L16, encode(Encoding.L16, samples), len(samples))
    assert np.array_equal(decode(audio), samples)


@pytest.mark.parametrize("encoding", G711)
@given(samples=pcm)
def test_g711_errs_by_half_a_quantisation_step_at_most(encoding: Encoding, samples: np.ndarray) -> None:
    decoded = decode(chunk(encoding, encode(encoding, samples), len(samples))).astype(int)
    magnitude = np.abs(samples.astype(int))
    clipped = np.maximum(magnitude - 32256, 0)  # beyond the last level, where all samples share one code
    assert decoded.shape == samples.shape
    # Steps double as the magnitude (with mu-law's offset of 132) does, over 16 of them each time.
    assert np.all(np.abs(decoded - samples) <= (magnitude + 132) // 32 + 4 + clipped)


@pytest.mark.parametrize(
    ("encoding", "digest"),
    [
        (Encoding.PCMU, "5ee7cf5f273f842d2234121e4cb0c98d6b20a99ac29026f94e05b36955b195be"),
        (Encoding.PCMA, "61ab4ea19c31b12928e2b51176bd343304bde4314e26a84aa52a71e46942b893"),
    ],
)
def test_the_code_of_every_sample_is_golden(encoding: Encoding, digest: str) -> None:
    assert sha256(encode(encoding, ALL_SAMPLES)).hexdigest() == digest
