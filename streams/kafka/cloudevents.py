"""The one codec between domain records and Kafka records: pure, strict about values, silent about content."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
from aiokafka.partitioner import murmur2

from streams import topics
from streams.domain.deadletters import DeadLetter, UnusableError
from streams.domain.records import (
    MAX_CHUNK_MS,
    Audio,
    CallBody,
    CallRecord,
    Consent,
    Encoding,
    Ended,
    Escalation,
    Gap,
    Label,
    Role,
    Started,
    Window,
)
from streams.domain.windows import MAX_WINDOW_MS
from streams.kafka.audio import audio, bad_audio, media_type
from streams.kafka.envelope import JSON, PREFIX, Envelope, malformed, open_envelope, raw_headers, seal
from streams.kafka.payload import agree, check_impersonal, from_json, to_json
from streams.kafka.withdrawal import withdrawal
from streams.ports import Fetched, Outgoing

STARTED = "undertone.call.started.v1"
CONSENT = "undertone.call.consent.v1"
AUDIO = "undertone.call.audio.v1"
GAP = "undertone.call.gap.v1"
ENDED = "undertone.call.ended.v1"
WINDOW = "undertone.window.v1"
LABEL = "undertone.label.v1"
ESCALATION = "undertone.escalation.v1"
DEADLETTER = "undertone.deadletter.v1"
CLOSING = "closingms"
CLOSING_DIGITS = 6  #: a window is closed within minutes

CALL_TYPES: Mapping[str, type[CallBody]] = {
    STARTED: Started,
    CONSENT: Consent,
    AUDIO: Audio,
    GAP: Gap,
    ENDED: Ended,
}
TYPES = frozenset({*CALL_TYPES, WINDOW, LABEL, ESCALATION, DEADLETTER})

_TYPE_OF = {body: type_ for type_, body in CALL_TYPES.items()}


def _decoder(type_: Any) -> msgspec.json.Decoder[Any]:  # noqa: ANN401 - msgspec takes any type
    return msgspec.json.Decoder(type_, strict=True)


_BODIES = {type_: _decoder(body) for type_, body in CALL_TYPES.items() if body is not Audio}
_BROKER_DEFAULT = 1024 * topics.KIB  #: Kafka's own message.max.bytes, less its record overhead
_LABEL = _decoder(Label)
_ESCALATION = _decoder(Escalation)
_DEADLETTER = _decoder(DeadLetter)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Java's default partitioner, and so this contract, puts `key` on."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


def decode_call(record: Fetched) -> CallRecord:
    """A record of `calls.v1`; a withdrawal is returned even where the rest of its record is wrong."""
    try:
        return _decode_call(record)
    except UnusableError:
        salvaged = withdrawal(record, CONSENT)
        if salvaged is None:
            raise
        return salvaged


def _decode_call(record: Fetched) -> CallRecord:
    envelope = open_envelope(record, CALL_TYPES, _max_bytes(topics.CALLS))
    sequence, media_ms = envelope.number("sequence"), envelope.number("mediatime")
    return CallRecord(envelope.key, sequence, media_ms, envelope.logged_at, _body(envelope))


def _body(envelope: Envelope) -> CallBody:
    if envelope.type == AUDIO:
        return audio(envelope.media_type(), envelope.value, MAX_CHUNK_MS)
    body: CallBody = from_json(_BODIES[envelope.type], envelope)
    check_impersonal(body, envelope.key)
    if isinstance(body, Started) and not 1 <= len(body.channels) <= 2:
        raise malformed("payload.channels must name the role of 1 or 2 channels")
    return body


def encode_call(record: CallRecord, source: str = "/undertone/publish") -> Outgoing:
    """A record for `calls.v1`, keyed by the raw call id."""
    media, value = _content(record.body)
    return seal(
        topic=topics.CALLS.name,
        type_=_TYPE_OF[type(record.body)],
        key=record.call_id,
        id_=f"{record.call_id}:{record.sequence}",
        source=source,
        media_type=media,
        value=value,
        at=record.logged_at,
        sequence=record.sequence,
        mediatime=record.media_ms,
    )


def _content(body: CallBody) -> tuple[str, bytes]:
    if isinstance(body, Audio):
        return media_type(body.encoding, body.rate, body.channels), body.data
    return JSON, to_json(body)


def decode_window(record: Fetched) -> Window:
    """A record of `windows.v1`."""
    envelope = open_envelope(record, (WINDOW,), _max_bytes(topics.WINDOWS))
    chunk = audio(envelope.media_type(), envelope.value, MAX_WINDOW_MS)
    if chunk.encoding is not Encoding.L16 or chunk.channels != 1:
        raise bad_audio(f"header content-type must be {Encoding.L16} with channels=1")
    return Window(
        id=envelope.text("id"),
        call=envelope.key,
        use_case=envelope.text("usecase"),
        role=_role(envelope.text("role")),
        start_ms=envelope.number("startms"),
        end_ms=envelope.number("endms"),
        consent_seq=envelope.number("consentseq"),
        spoken_at=envelope.moment("time"),
        rate=chunk.rate,
        data=chunk.data,
        closing_ms=envelope.number(CLOSING) if envelope.has(CLOSING) else None,
    )


def _role(name: str) -> Role:
    try:
        return Role(name)
    except ValueError:
        raise malformed(f"header ce_role must be one of {', '.join(Role)}") from None


def encode_window(window: Window, cause: int | None = None) -> Outgoing:
    """A record for `windows.v1`, keyed by the pseudonym; `cause` is the offset of the record that closed it."""
    sealed = seal(
        topic=topics.WINDOWS.name,
        type_=WINDOW,
        key=window.call,
        id_=window.id,
        source="/undertone/segment",
        media_type=media_type(Encoding.L16, window.rate, 1),
        value=window.data,
        at=window.spoken_at,
        mediatime=window.start_ms,
        role=window.role,
        startms=window.start_ms,
        endms=window.end_ms,
        consentseq=window.consent_seq,
        usecase=window.use_case,
        **_closing(window.closing_ms),
    )
    return sealed if cause is None else replace(sealed, cause=cause)


def decode_label(record: Fetched) -> Label:
    """A record of `labels.v1`."""
    envelope = open_envelope(record, (LABEL,), _max_bytes(topics.LABELS))
    label: Label = from_json(_LABEL, envelope)
    agree(label.call, envelope.key, "payload.call", "key")
    agree(label.window_id, envelope.text("id"), "payload.window_id", "header ce_id")
    return label


def encode_label(label: Label, closing_ms: int | None = None) -> Outgoing:
    """A record for `labels.v1`, keyed by the pseudonym; its id is the window's, as is `closing_ms`."""
    return seal(
        topic=topics.LABELS.name,
        type_=LABEL,
        key=label.call,
        id_=label.window_id,
        source="/undertone/label",
        media_type=JSON,
        value=to_json(label),
        at=label.spoken_at,
        mediatime=label.start_ms,
        **_closing(closing_ms),
    )


def _closing(closing_ms: int | None) -> dict[str, int]:
    return {} if closing_ms is None else {CLOSING: closing_ms}


def closing_of(record: Fetched) -> tuple[str, int | None]:
    """The window that a label's record is of, and its `closing_ms`; None where the record does not say it."""
    headers = raw_headers(record)
    said = headers.get(PREFIX + CLOSING, b"")
    known = said.isdigit() and len(said) <= CLOSING_DIGITS
    return headers.get("ce_id", b"").decode(errors="replace"), int(said) if known else None


def decode_escalation(record: Fetched) -> Escalation:
    """A record of `escalations.v1`."""
    envelope = open_envelope(record, (ESCALATION,), _max_bytes(topics.ESCALATIONS))
    escalation: Escalation = from_json(_ESCALATION, envelope)
    agree(escalation.call, envelope.key, "payload.call", "key")
    return escalation


def encode_escalation(escalation: Escalation) -> Outgoing:
    """A record for `escalations.v1`, keyed by the pseudonym; a retraction is another event of the same escalation."""
    suffix = ":retracted" if escalation.retracted else ""
    return seal(
        topic=topics.ESCALATIONS.name,
        type_=ESCALATION,
        key=escalation.call,
        id_=escalation.id + suffix,
        source="/undertone/relay",
        media_type=JSON,
        value=to_json(escalation),
        at=escalation.raised_at,
        mediatime=escalation.from_ms,
    )


def decode_deadletter(record: Fetched) -> DeadLetter:
    """A record of `deadletters.v1`."""
    envelope = open_envelope(record, (DEADLETTER,), _max_bytes(topics.DEADLETTERS))
    letter: DeadLetter = from_json(_DEADLETTER, envelope, max_number=2**63 - 1)
    return letter


def encode_deadletter(letter: DeadLetter) -> Outgoing:
    """A record for `deadletters.v1`: where the unusable record lies and why, never what it held."""
    origin = f"{letter.topic}/{letter.partition}/{letter.offset}"
    return seal(
        topic=topics.DEADLETTERS.name,
        type_=DEADLETTER,
        key=letter.call or origin,
        id_=origin,
        source="/undertone/deadletters",
        media_type=JSON,
        value=to_json(letter),
        reason=letter.reason,
        origintopic=letter.topic,
        originpartition=letter.partition,
        originoffset=letter.offset,
    )


def _max_bytes(topic: topics.Topic) -> int:
    return int(topic.config.get("max.message.bytes", _BROKER_DEFAULT))
