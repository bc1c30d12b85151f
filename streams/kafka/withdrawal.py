"""A withdrawal is honoured if it can be read at all: what is wrong beside it must not keep a call open."""

from datetime import datetime

import msgspec

from streams.domain.deadletters import UnusableError
from streams.domain.records import CallRecord, Consent, Purpose
from streams.kafka.envelope import key_of, logged_at, raw_headers
from streams.ports import Fetched

_SAID_NO = frozenset({"false", "no", "withdrawn", "withdraw", "revoked", "denied"})
BASIS = "unreadable withdrawal"  #: stands where the record does not say


def withdrawal(record: Fetched, consent_type: str) -> CallRecord | None:
    """The withdrawal in a consent record that is otherwise malformed; None where it holds none.

    Fails closed: what is not plainly about training alone counts as `emotion.alerting`. Its sequence and media
    time are 0, for neither decides whether a withdrawal counts.
    """
    if raw_headers(record).get("ce_type") != consent_type.encode():
        return None
    fields = _fields(record.value)
    if "granted" not in fields or not _says_no(fields["granted"]):
        return None
    try:
        call_id, at = key_of(record), logged_at(record)
    except UnusableError:
        return None
    return CallRecord(call_id, 0, 0, at, _consent(fields, at))


def _consent(fields: dict[str, object], at: datetime) -> Consent:
    training = fields.get("purpose") == Purpose.TRAINING
    return Consent(Purpose.TRAINING if training else Purpose.ALERTING, granted=False, basis=BASIS, given_at=at)


def _fields(value: bytes | None) -> dict[str, object]:
    try:
        decoded = msgspec.json.decode(value or b"")
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _says_no(granted: object) -> bool:
    if isinstance(granted, str):
        return granted.strip().lower() in _SAID_NO
    return granted is None or (isinstance(granted, int | float) and granted == 0)
