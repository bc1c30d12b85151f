"""CloudEvents 1.0, Kafka binary mode: attributes in `ce_*` headers, media type in `content-type`, payload raw."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from streams.domain.deadletters import Reason, UnusableError
from streams.ports import Fetched, Outgoing

PREFIX = "ce_"
MEDIA_TYPE = "content-type"
JSON = "application/json"
MAX_NUMBER = 2**31 - 1  #: of sequences and milliseconds: 24 days of media time
MAX_KEY_BYTES = 200
MAX_TEXT = 256  #: characters of an attribute or a JSON string
FIRST_YEAR, LAST_YEAR = 1970, 9998  #: every time zone's midnight stays representable


@dataclass(frozen=True, slots=True)
class Envelope:
    """What surrounds a payload: header name -> value, the record's key and when the log took it."""

    type: str
    key: str = field(repr=False)
    headers: Mapping[str, bytes] = field(repr=False)
    value: bytes = field(repr=False)
    logged_at: datetime

    def has(self, name: str) -> bool:
        """Whether the attribute `name` is there."""
        return PREFIX + name in self.headers

    def text(self, name: str) -> str:
        """The attribute `name`; UnusableError where it is missing, not UTF-8, too long or unprintable."""
        return _text(self.headers, PREFIX + name)

    def number(self, name: str) -> int:
        """The attribute `name`, an integer from 0 to `MAX_NUMBER` in plain decimal digits."""
        text = self.text(name)
        if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_NUMBER):
            raise malformed(f"header {PREFIX}{name} must be a whole number from 0 to {MAX_NUMBER}")
        return int(text)

    def moment(self, name: str) -> datetime:
        """The attribute `name`, an RFC 3339 time with its offset."""
        try:
            moment = msgspec.convert(self.text(name), datetime)
        except msgspec.ValidationError:
            raise malformed(_NOT_A_TIME.format(f"header {PREFIX}{name}")) from None
        return aware(moment, f"header {PREFIX}{name}")

    def media_type(self) -> str:
        """The `content-type` header."""
        return _text(self.headers, MEDIA_TYPE)


_NOT_A_TIME = "{} must be an RFC 3339 time with an offset, such as 2026-01-31T12:00:00Z"


def malformed(message: str) -> UnusableError:
    """What to raise for a record that does not follow the contract."""
    return UnusableError(Reason.MALFORMED, message)


def aware(moment: datetime, where: str) -> datetime:
    """`moment` where it has an offset and lies in a year that every store can hold."""
    if moment.tzinfo is None or not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise malformed(_NOT_A_TIME.format(where))
    return moment


def printable(text: str, where: str) -> str:
    """`text` where it is short and has no control character (Postgres refuses NUL, terminals obey others)."""
    if not 0 < len(text) <= MAX_TEXT or not text.isprintable():
        raise malformed(f"{where} must be 1 to {MAX_TEXT} printable characters")
    return text


def open_envelope(record: Fetched, types: Collection[str], max_bytes: int) -> Envelope:
    """Check what every record must have, before anything is allocated that grows with it."""
    headers = _headers(record)
    type_ = type_of(headers, types)
    value = record.value
    if value is None:
        raise malformed("the record has no payload; send at least an empty one")
    if len(value) > max_bytes:
        raise UnusableError(Reason.OVERSIZED, f"payload must be at most {max_bytes} bytes; send shorter chunks")
    if _text(headers, "ce_specversion") != "1.0":
        raise malformed("header ce_specversion must be 1.0")
    _text(headers, "ce_id")
    _text(headers, "ce_source")
    key = key_of(record)
    if _text(headers, "ce_subject") != key:
        raise malformed("header ce_subject must equal the record's key")
    return Envelope(type_, key, headers, value, logged_at(record))


def type_of(headers: Mapping[str, bytes], types: Collection[str]) -> str:
    """The record's `ce_type`, one of `types`."""
    found = _text(headers, "ce_type")
    if found not in types:
        raise UnusableError(Reason.UNKNOWN_TYPE, f"header ce_type must be one of {', '.join(sorted(types))}")
    return found


def key_of(record: Fetched) -> str:
    """The record's key as text."""
    if not record.key or len(record.key) > MAX_KEY_BYTES:
        raise malformed(f"the record's key must be 1 to {MAX_KEY_BYTES} bytes of UTF-8")
    try:
        return printable(record.key.decode(), "the record's key")
    except UnicodeDecodeError:
        raise malformed(f"the record's key must be 1 to {MAX_KEY_BYTES} bytes of UTF-8") from None


def logged_at(record: Fetched) -> datetime:
    """When the log took the record."""
    try:
        moment = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        raise malformed("the record's timestamp is out of range") from None
    return aware(moment, "the record's timestamp")


def raw_headers(record: Fetched) -> dict[str, bytes]:
    """Header name in lower case -> value, the last of a repeated one; Kafka's null is no value."""
    return {name.lower(): value for name, value in record.headers if value is not None}


def _headers(record: Fetched) -> dict[str, bytes]:
    headers = raw_headers(record)
    if len(headers) != len(record.headers) and any(
        headers.get(name.lower()) != value for name, value in record.headers if _ours(name.lower())
    ):
        raise malformed("a ce_ or content-type header occurs twice with different values; send each once")
    return headers


def _ours(name: str) -> bool:
    return name.startswith(PREFIX) or name == MEDIA_TYPE


def _text(headers: Mapping[str, bytes], name: str) -> str:
    value = headers.get(name)
    if value is None:
        raise malformed(f"header {name} is missing")
    try:
        return printable(value.decode(), f"header {name}")
    except UnicodeDecodeError:
        raise malformed(f"header {name} must be UTF-8") from None


def seal(
    *,
    topic: str,
    type_: str,
    key: str,
    id_: str,
    source: str,
    media_type: str,
    value: bytes,
    at: datetime | None = None,
    **extensions: object,
) -> Outgoing:
    """A record with its attributes in a fixed order, so that equal events are equal bytes."""
    attributes: dict[str, object] = {
        "specversion": "1.0",
        "id": id_,
        "source": source,
        "type": type_,
        "subject": key,
    }
    if at is not None:
        attributes["time"] = rfc3339(at)
    attributes |= extensions
    headers = tuple((PREFIX + name, str(value).encode()) for name, value in attributes.items())
    return Outgoing(topic, key.encode(), value, (*headers, (MEDIA_TYPE, media_type.encode())))


def rfc3339(moment: datetime) -> str:
    """UTC, ending in Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
