"""JSON payloads: msgspec into the domain's dataclasses, then what a type alone cannot say."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import TypeVar

import msgspec

from streams.domain.deadletters import Reason, UnusableError
from streams.domain.privacy import is_date, looks_personal, names_call
from streams.kafka.envelope import JSON, MAX_NUMBER, Envelope, aware, malformed, printable

T = TypeVar("T")

_PLACE = re.compile(r"`\$(?P<path>[^`]*)`$")
_REFERENCE = "payload.reference"
_DATED = (".notice.id", ".notice.version")  #: many a notice is named by the day of its wording
_MISSING = re.compile(r"missing required field `(?P<field>\w+)`")


def from_json(decoder: msgspec.json.Decoder[T], envelope: Envelope, max_number: int = MAX_NUMBER) -> T:
    """The payload as a checked domain record; unknown fields are ignored, so that minor versions may add some."""
    if envelope.media_type().partition(";")[0].strip().lower() != JSON:
        raise malformed(f"header content-type must be {JSON}")
    try:
        record = decoder.decode(envelope.value)
    except msgspec.ValidationError as error:
        raise malformed(_place(str(error))) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise malformed("payload must be one JSON object in UTF-8") from None
    check(record, max_number)
    return record


def to_json(record: object) -> bytes:
    """The record as JSON, fields in their declared order."""
    return msgspec.json.encode(record)


def _place(message: str) -> str:
    """Where msgspec found the fault, without the content that its own message may quote."""
    missing = _MISSING.search(message)
    place = _PLACE.search(message)
    path = place["path"] if place else ""
    if missing:
        return f"payload{path}.{missing['field']} is missing"
    return f"payload{path} has a type or value that the JSON Schema does not allow"


def check(record: object, max_number: int = MAX_NUMBER) -> None:
    """Refuse what the stores or a reader could not hold: text, numbers and times at every depth."""
    for value, where in _leaves(record, "payload"):
        match value:
            case str():
                printable(value, where)
            case datetime():
                aware(value, where)
            case int() if not 0 <= value <= max_number:
                raise malformed(f"{where} must be from 0 to {max_number}")
            case float() if not 0 <= value <= 1:
                raise malformed(f"{where} must be a probability from 0 to 1")


def check_impersonal(record: object, call_id: str) -> None:
    """Refuse a text that leads back to a person: it would be stored."""
    for value, where in _leaves(record, "payload"):
        if isinstance(value, str) and not isinstance(value, Enum):  # whose values are ours
            fault = _fault(value, call_id, dated=where.endswith(_DATED))
            if fault:
                raise UnusableError(
                    Reason.BAD_REFERENCE if where == _REFERENCE else Reason.MALFORMED, f"{where} {fault}"
                )


def _fault(text: str, call_id: str, *, dated: bool) -> str | None:
    """What is wrong with it and the remedy, without quoting it."""
    if looks_personal(text) and not (dated and is_date(text)):
        return (
            "looks like a phone number (7 to 17 digits by themselves) or an e-mail address;"
            " send plain words or an opaque id, with a letter right before its digits: v4711-0815"
        )
    if names_call(text, call_id):
        return "holds the call's id, the record's key, which is stored nowhere; send another id or other words"
    return None


def _leaves(value: object, where: str) -> Iterator[tuple[object, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield key, f"a key of {where}"
            yield from _leaves(item, f"{where}[...]")
    elif isinstance(value, tuple):
        for item in value:
            yield from _leaves(item, f"{where}[...]")
    elif is_dataclass(value):
        for part in fields(value):
            yield from _leaves(getattr(value, part.name), f"{where}.{part.name}")
    else:
        yield value, where


def agree(told: str, named: str, where: str, other: str) -> None:
    """Refuse a payload that names another subject than its record does."""
    if told != named:
        raise malformed(f"{where} must equal the record's {other}")
