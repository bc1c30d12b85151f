"""Bytes of a chunk to samples and back: G.711 mu-law and A-law by table, L16 by byte order."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from streams.domain.records import Audio, Encoding

Pcm = NDArray[np.int16]  #: shape (channels, samples) unless a function says otherwise

_BIG_ENDIAN = np.dtype(">i2")
_CODES = np.arange(256)
#: |sample| of every 16-bit sample, looked up by its unsigned pattern (so -32768 is 32768, not an overflow)
_MAGNITUDES = np.abs(np.arange(65536).astype(np.uint16).view(np.int16).astype(np.int32))
_NEGATIVE = np.arange(65536) >= 32768


def _mulaw_levels() -> Pcm:
    """Output value of each code, shape (256,): ITU-T G.711 table 2, its 14 bits scaled to 16."""
    code = ~_CODES & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw_levels() -> Pcm:
    """Output value of each code, shape (256,): ITU-T G.711 table 1, its 13 bits scaled to 16."""
    code = _CODES ^ 0x55
    exponent = (code >> 4) & 7
    step = ((code & 0x0F) << 4) + np.where(exponent, 0x108, 8)
    magnitude = step << np.maximum(exponent - 1, 0)
    levels: Pcm = np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)
    return levels


def _bit_length(magnitude: NDArray[np.int32]) -> NDArray[np.int32]:
    """Bits that each magnitude takes."""
    return np.frexp(magnitude)[1]


def _mulaw_codes() -> NDArray[np.uint8]:
    """Code of each 16-bit sample, shape (65536,), by the decision values of table 2, alike for both signs."""
    magnitude = np.minimum(_MAGNITUDES >> 2, 8158) + 33
    exponent = _bit_length(magnitude) - 6
    code = (exponent << 4) | ((magnitude >> (exponent + 1)) & 0x0F)
    codes: NDArray[np.uint8] = (~np.where(_NEGATIVE, code | 0x80, code) & 0xFF).astype(np.uint8)
    return codes


def _alaw_codes() -> NDArray[np.uint8]:
    """Code of each 16-bit sample, shape (65536,), by the decision values of table 1, alike for both signs."""
    magnitude = np.minimum(_MAGNITUDES >> 4, 2047)
    exponent = np.maximum(_bit_length(magnitude) - 4, 0)
    code = (exponent << 4) | ((magnitude >> np.maximum(exponent - 1, 0)) & 0x0F)
    codes: NDArray[np.uint8] = (np.where(_NEGATIVE, code, code | 0x80) ^ 0x55).astype(np.uint8)
    return codes


_LEVELS: Mapping[Encoding, Pcm] = {Encoding.PCMU: _mulaw_levels(), Encoding.PCMA: _alaw_levels()}
_TO_CODES: Mapping[Encoding, NDArray[np.uint8]] = {
    Encoding.PCMU: _mulaw_codes(),
    Encoding.PCMA: _alaw_codes(),
}


def decode(audio: Audio) -> Pcm:
    """Turn a chunk into samples (channels, samples). ValueError where its bytes are no whole frames."""
    if audio.encoding is Encoding.L16:
        samples = np.frombuffer(audio.data, _BIG_ENDIAN).astype(np.int16)
    else:
        samples = _LEVELS[audio.encoding][np.frombuffer(audio.data, np.uint8)]
    return np.ascontiguousarray(samples.reshape(-1, audio.channels).T)


def encode(encoding: Encoding, pcm: Pcm) -> bytes:
    """Bytes of `pcm`, its channels interleaved."""
    interleaved = np.ascontiguousarray(pcm.T)
    if encoding is Encoding.L16:
        return interleaved.astype(_BIG_ENDIAN).tobytes()
    return _TO_CODES[encoding][interleaved.view(np.uint16)].tobytes()
