"""The audio payloads' media type, `audio/PCMU;rate=8000;channels=2`, and the lengths that go with it."""

from streams.domain.deadletters import Reason, UnusableError
from streams.domain.records import Audio, Encoding

RATES = (8000, 16000)
CHANNELS = (1, 2)

_ENCODINGS = {encoding.value.lower(): encoding for encoding in Encoding}


def media_type(encoding: Encoding, rate: int, channels: int) -> str:
    """The `content-type` of samples written that way."""
    return f"{encoding};rate={rate};channels={channels}"


def audio(media: str, data: bytes, max_ms: int) -> Audio:
    """`data` as `media` describes it; UnusableError where either is not allowed or they do not fit."""
    name, *parameters = (part.strip().lower() for part in media.split(";"))
    encoding = _ENCODINGS.get(name)
    if encoding is None:
        raise bad_audio(f"header content-type must be one of {', '.join(Encoding)}")
    values = dict(_parameter(text) for text in parameters)
    rate = _one_of(RATES, "rate", values)
    chunk = Audio(encoding, rate, _one_of(CHANNELS, "channels", values), data)
    _check_length(chunk, max_ms)
    return chunk


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip(), value.strip().strip('"')


def _one_of(allowed: tuple[int, ...], name: str, values: dict[str, str]) -> int:
    for number in allowed:
        if values.get(name) == str(number):
            return number
    choices = " or ".join(map(str, allowed))
    raise bad_audio(f"header content-type must say {name}={choices}; resample or remix what is not")


def _check_length(chunk: Audio, max_ms: int) -> None:
    per_ms = chunk.rate // 1000 * chunk.encoding.width * chunk.channels
    if not chunk.data or len(chunk.data) % per_ms:
        raise bad_audio(f"payload must be a whole number of milliseconds: a multiple of {per_ms} bytes, not 0")
    if chunk.duration_ms > max_ms:
        raise UnusableError(Reason.OVERSIZED, f"audio must be at most {max_ms} ms a record; send shorter chunks")


def bad_audio(message: str) -> UnusableError:
    """What to raise for audio that cannot be read."""
    return UnusableError(Reason.BAD_AUDIO, message)
