"""The codec: what is written reads back, what is wrong is named, nothing else escapes."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.adapters.memory_topics import Kept, MemoryTopics
from streams.domain.deadletters import DeadLetter, Reason, UnusableError
from streams.domain.privacy import looks_personal
from streams.domain.records import (
    Audio,
    CallRecord,
    Consent,
    Encoding,
    Ended,
    Escalation,
    Gap,
    Label,
    Notice,
    Outcome,
    Purpose,
    Role,
    Started,
    Window,
)
from streams.domain.unlabelled import Unlabelled
from streams.kafka import cloudevents as codec
from streams.kafka.deadletters import dead_letter
from streams.ports import Fetched, Outgoing

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
DECODERS = (
    codec.decode_call,
    codec.decode_window,
    codec.decode_label,
    codec.decode_escalation,
    codec.decode_deadletter,
)

printable = st.characters(codec="utf-8", exclude_categories=("C", "Z"), include_characters=" ")
anything = st.text(printable, min_size=1, max_size=40).filter(str.isprintable)
texts = anything.filter(lambda text: not looks_personal(text) and "\N{BLACK TELEPHONE}" not in text)
keys = anything.map("\N{BLACK TELEPHONE}{}".format).filter(lambda text: len(text.encode()) <= 200)  # in no text
hexes = st.text("0123456789abcdef", min_size=64, max_size=64)
numbers = st.integers(0, 2**31 - 1)
probabilities = st.floats(0, 1)
moments = st.datetimes(
    datetime(1971, 1, 1),  # noqa: DTZ001 - Hypothesis adds the zone
    datetime(9000, 1, 1),  # noqa: DTZ001 - Hypothesis adds the zone
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))]),
)
seconds = st.integers(0, 2**33).map(lambda second: datetime.fromtimestamp(second, UTC))
notices = st.builds(Notice, texts, texts, texts, moments)
consents = st.builds(
    Consent, st.sampled_from(Purpose), st.booleans(), texts, moments, st.none() | moments, st.none() | notices
)
roles = st.sampled_from(Role)
references = st.none() | st.from_regex(r"\A[A-Z]{2}-[0-9]{1,12}\Z")
starts = st.builds(
    Started,
    texts,
    st.lists(roles, min_size=1, max_size=2).map(tuple),
    texts,
    st.none() | notices,
    st.lists(consents, max_size=3).map(tuple),
    references,
)
heads = st.dictionaries(texts, st.dictionaries(texts, probabilities, max_size=3), max_size=3)

classes = st.dictionaries(texts, texts, max_size=3)


@st.composite
def chunks(draw: st.DrawFn, encodings: Sequence[Encoding] = tuple(Encoding), channels: Sequence[int] = (1, 2)) -> Audio:
    encoding, rate = draw(st.sampled_from(encodings)), draw(st.sampled_from((8000, 16000)))
    count, ms = draw(st.sampled_from(channels)), draw(st.integers(1, 40))
    size = rate // 1000 * ms * encoding.width * count
    return Audio(encoding, rate, count, draw(st.binary(min_size=size, max_size=size)))


bodies = starts | consents | chunks() | st.builds(Gap, numbers, texts) | st.builds(Ended, texts)
calls = st.builds(CallRecord, keys, numbers, numbers, seconds, bodies)
windows = st.builds(
    lambda chunk, **rest: Window(rate=chunk.rate, data=chunk.data, **rest),
    chunks((Encoding.L16,), (1,)),
    id=texts,
    call=hexes,
    use_case=texts,
    role=roles,
    start_ms=numbers,
    end_ms=numbers,
    consent_seq=numbers,
    spoken_at=moments,
)
labels = st.builds(
    Label,
    texts,
    hexes,
    texts,
    roles,
    numbers,
    numbers,
    numbers,
    moments,
    st.sampled_from(Outcome),
    hexes,
    heads,
    st.none() | st.sampled_from(Unlabelled),
    classes,
)
escalations = st.builds(
    Escalation,
    texts,
    hexes,
    texts,
    texts,
    texts,
    st.lists(texts, max_size=3).map(tuple),
    numbers,
    numbers,
    heads,
    consents,
    hexes,
    moments,
    references,
    st.booleans(),
    st.booleans(),
    classes,
)
offsets = st.integers(0, 2**63 - 1)
letters = st.builds(
    DeadLetter,
    texts,
    numbers,
    offsets,
    st.sampled_from(Reason),
    texts,
    st.none() | st.sampled_from(sorted(codec.TYPES)),
    offsets,
    hexes,
    st.none() | hexes,
)


def fetched(outgoing: Outgoing, at: datetime = AT) -> Kept:
    return MemoryTopics(now=lambda: at).append(outgoing)


def audio_record(**changes: bytes | None) -> Kept:
    """One stereo chunk of 20 ms whose headers can be changed by name, or dropped with None."""
    chunk = Audio(Encoding.PCMU, 8000, 2, bytes(320))
    record = fetched(codec.encode_call(CallRecord("call-1", 3, 600, AT, chunk)))
    value = changes.pop("value", record.value)
    key = changes.pop("key", record.key)
    headers = {
        **dict(record.headers),
        **{name.replace("content_type", "content-type"): v for name, v in changes.items()},
    }
    return replace(record, key=key, value=value, headers=tuple((n, v) for n, v in headers.items() if v is not None))


def json_record(body: object, type_: str = codec.STARTED, **changes: bytes | None) -> Kept:
    record = audio_record(ce_type=type_.encode(), content_type=b"application/json", **changes)
    return replace(record, value=body if isinstance(body, bytes) else msgspec.json.encode(body))


def refused(record: Fetched) -> UnusableError:
    with pytest.raises(UnusableError) as error:
        codec.decode_call(record)
    return error.value


@given(calls)
def test_a_call_record_reads_back_as_it_was_written(record: CallRecord) -> None:
    assert codec.decode_call(fetched(codec.encode_call(record), record.logged_at)) == record


@given(windows)
def test_a_window_reads_back_as_it_was_written(window: Window) -> None:
    assert codec.decode_window(fetched(codec.encode_window(window))) == window


@given(labels)
def test_a_label_reads_back_as_it_was_written(label: Label) -> None:
    assert codec.decode_label(fetched(codec.encode_label(label))) == label


@given(escalations)
def test_an_escalation_reads_back_as_it_was_written(escalation: Escalation) -> None:
    assert codec.decode_escalation(fetched(codec.encode_escalation(escalation))) == escalation


@given(letters)
def test_a_dead_letter_reads_back_as_it_was_written(letter: DeadLetter) -> None:
    assert codec.decode_deadletter(fetched(codec.encode_deadletter(letter))) == letter


NAMES = ("specversion", "id", "source", "type", "subject", "time", "sequence", "mediatime", "role", "startms")
header_names = st.sampled_from([f"ce_{name}" for name in NAMES] + ["content-type", "Content-Type"]) | st.text(
    max_size=9
)
header_values = (
    st.binary(max_size=30)
    | st.sampled_from([name.encode() for name in sorted(codec.TYPES)])
    | st.sampled_from([b"1.0", b"0", b"application/json", b"audio/PCMU;rate=8000;channels=1", b"k"])
)
payloads = st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["granted", "purpose", "channels", "notice", "reason", "heads"]), inner)
    ),
    max_leaves=9,
).map(msgspec.json.encode)


@given(
    st.lists(st.tuples(header_names, st.none() | header_values), max_size=12),
    st.none() | st.just(b"k") | st.binary(max_size=9),
    st.none() | payloads,
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from(DECODERS),
)
def test_arbitrary_headers_and_bytes_are_at_worst_unusable(
    headers: list[tuple[str, bytes | None]],
    key: bytes | None,
    value: bytes,
    timestamp: int,
    decode: Callable[[Fetched], object],
) -> None:
    record = Kept("calls.v1", 0, 0, timestamp, key, value, headers)
    refused = None
    try:
        decode(record)
    except UnusableError as error:
        refused = dead_letter(record, error)
    assert refused is None or refused.offset == 0


@given(st.sampled_from(sorted(codec.CALL_TYPES)), payloads)
def test_a_right_envelope_around_an_arbitrary_payload_is_at_worst_unusable(type_: str, value: bytes) -> None:
    with suppress(UnusableError):
        codec.decode_call(json_record(value, type_))


@given(calls, st.randoms(use_true_random=False))
def test_the_order_and_case_of_headers_and_headers_of_others_do_not_matter(record: CallRecord, random: Random) -> None:
    outgoing = codec.encode_call(record)
    headers = [(name.upper(), value) for name, value in outgoing.headers] + [("traceparent", b"\xff"), ("X", b"")]
    random.shuffle(headers)
    mixed = replace(outgoing, headers=tuple(headers))
    assert codec.decode_call(fetched(mixed, record.logged_at)) == record


def test_fields_that_a_later_minor_version_adds_are_ignored() -> None:
    body = {"use_case": "demo", "channels": ["customer"], "language": "de", "mood": {"x": [1]}}
    assert codec.decode_call(json_record(body)).body == Started("demo", (Role.CUSTOMER,), "de")


@pytest.mark.parametrize(
    ("changes", "reason", "named"),
    [
        ({"ce_type": None}, Reason.MALFORMED, "ce_type"),
        ({"ce_type": b"undertone.call.audio.v2"}, Reason.UNKNOWN_TYPE, "ce_type"),
        ({"ce_type": b"undertone.window.v1"}, Reason.UNKNOWN_TYPE, "ce_type"),
        ({"ce_specversion": b"0.3"}, Reason.MALFORMED, "ce_specversion"),
        ({"ce_id": None}, Reason.MALFORMED, "ce_id"),
        ({"ce_source": b""}, Reason.MALFORMED, "ce_source"),
        ({"ce_subject": b"call-2"}, Reason.MALFORMED, "ce_subject"),
        ({"key": None}, Reason.MALFORMED, "key"),
        ({"key": b""}, Reason.MALFORMED, "key"),
        ({"key": b"\xff"}, Reason.MALFORMED, "key"),
        ({"key": b"k" * 201}, Reason.MALFORMED, "key"),
        ({"key": b"call\x001"}, Reason.MALFORMED, "key"),
        ({"ce_sequence": None}, Reason.MALFORMED, "ce_sequence"),
        ({"ce_sequence": b"-1"}, Reason.MALFORMED, "ce_sequence"),
        ({"ce_sequence": b"1_0"}, Reason.MALFORMED, "ce_sequence"),
        ({"ce_sequence": "²".encode()}, Reason.MALFORMED, "ce_sequence"),
        ({"ce_sequence": b"2147483648"}, Reason.MALFORMED, "ce_sequence"),
        ({"ce_mediatime": b"1.5"}, Reason.MALFORMED, "ce_mediatime"),
        ({"content_type": None}, Reason.MALFORMED, "content-type"),
        ({"content_type": b"audio/opus;rate=8000;channels=2"}, Reason.BAD_AUDIO, "audio/PCMU"),
        ({"content_type": b"audio/PCMU;rate=44100;channels=2"}, Reason.BAD_AUDIO, "rate=8000 or 16000"),
        ({"content_type": b"audio/PCMU;channels=2"}, Reason.BAD_AUDIO, "rate"),
        ({"content_type": b"audio/PCMU;rate=8000"}, Reason.BAD_AUDIO, "channels=1 or 2"),
        ({"content_type": b"audio/PCMU;rate=8000;channels=3"}, Reason.BAD_AUDIO, "channels"),
        ({"value": b""}, Reason.BAD_AUDIO, "whole number of milliseconds"),
        ({"value": bytes(321)}, Reason.BAD_AUDIO, "multiple of 16 bytes"),
        ({"value": None}, Reason.MALFORMED, "payload"),
        ({"value": bytes(16 * 5001)}, Reason.OVERSIZED, "5000 ms"),
        ({"value": bytes(512 * 1024 + 1)}, Reason.OVERSIZED, "524288"),
    ],
)
def test_what_is_wrong_with_an_audio_record_is_named(
    changes: dict[str, bytes | None], reason: Reason, named: str
) -> None:
    error = refused(audio_record(**changes))
    assert (error.reason, named in str(error)) == (reason, True)


@pytest.mark.parametrize(
    ("media", "encoding", "rate", "channels"),
    [
        (b"audio/PCMU;rate=8000;channels=2", Encoding.PCMU, 8000, 2),
        (b'AUDIO/pcma; Channels="2"; RATE=8000', Encoding.PCMA, 8000, 2),
        (b"audio/L16;rate=16000;channels=1;ptime=20", Encoding.L16, 16000, 1),
    ],
)
def test_a_media_type_is_read_as_mime_has_it(media: bytes, encoding: Encoding, rate: int, channels: int) -> None:
    body = codec.decode_call(audio_record(content_type=media)).body
    assert (body.encoding, body.rate, body.channels) == (encoding, rate, channels)


def test_a_repeated_header_is_refused_unless_it_says_the_same() -> None:
    record = audio_record()
    assert codec.decode_call(replace(record, headers=(*record.headers, record.headers[0]))).sequence == 3
    assert refused(replace(record, headers=(*record.headers, ("CE_Sequence", b"9")))).reason is Reason.MALFORMED


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\xff", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b'{"x":' + b"[" * 100_000, "JSON"),
        ([], "payload"),
        ({"channels": ["customer"], "language": "secret"}, "payload.use_case is missing"),
        ({"use_case": "secret", "channels": ["secret"], "language": "de"}, "payload.channels[0]"),
        ({"use_case": "secret", "channels": [], "language": "de"}, "payload.channels"),
        ({"use_case": "secret", "channels": ["agent"] * 3, "language": "de"}, "payload.channels"),
        ({"use_case": "secret\0", "channels": ["customer"], "language": "de"}, "payload.use_case"),
        ({"use_case": "secret" * 99, "channels": ["customer"], "language": "de"}, "payload.use_case"),
        (
            {
                "use_case": "secret",
                "channels": ["customer"],
                "language": "de",
                "notice": {"id": "n", "version": "1", "language": "de", "given_at": "2026-01-31T12:00:00"},
            },
            "payload.notice.given_at must be an RFC 3339 time with an offset",
        ),
        (
            {
                "use_case": "secret",
                "channels": ["customer"],
                "language": "de",
                "consents": [{"purpose": "secret", "granted": True, "basis": "x", "given_at": "2026-01-31T12:00:00Z"}],
            },
            "payload.consents[0].purpose",
        ),
    ],
)
def test_what_is_wrong_with_a_json_record_is_named_without_its_content(body: object, named: str) -> None:
    error = refused(json_record(body))
    assert error.reason is Reason.MALFORMED
    assert named in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    "reference",
    [
        "0049-170-1234567890",
        "+49 171 5551234",
        "01715551234",
        "(0171) 555-1234",
        "call 0171/5551234",
        "tel:+491715551234",
        "jane@example.org",
        "jane%40example.org",
        "sip:jane@example.org",
        "０１７１５５５１２３４",  # noqa: RUF001 - full-width digits are the point
    ],
)
def test_a_reference_that_looks_like_a_phone_number_or_an_e_mail_address_is_refused(reference: str) -> None:
    body = {"use_case": "demo", "channels": ["customer"], "language": "de", "reference": reference}
    error = refused(json_record(body))
    assert error.reason is Reason.BAD_REFERENCE
    assert reference not in str(error)


@pytest.mark.parametrize(
    "reference",
    [
        "T-4711",
        "ticket-20260131-000123",
        "123e4567-e89b-12d3-a456-426614174000",
        "4711",
        "case_01715551234",
        "12345678901234567890",
    ],
)
def test_an_opaque_reference_is_accepted(reference: str) -> None:
    body = {"use_case": "demo", "channels": ["customer"], "language": "de", "reference": reference}
    assert codec.decode_call(json_record(body)).body.reference == reference


GRANT = {"purpose": "emotion.alerting", "granted": True, "basis": "x", "given_at": "2026-01-31T12:00:00Z"}


@pytest.mark.parametrize(
    "change", [{"purpose": "emotion.else"}, {"granted": "true"}, {"given_at": "today"}, {"basis": ""}]
)
def test_a_grant_that_is_malformed_grants_nothing(change: dict[str, object]) -> None:
    assert refused(json_record({**GRANT, **change}, codec.CONSENT)).reason is Reason.MALFORMED


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"granted": "withdrawn"},
        {"granted": None},
        {"granted": 0},
        {"given_at": "today"},
        {"basis": 5},
        {"purpose": "emotion.else"},
        {"purpose": None},
        {"notice": {"id": 1}},
    ],
)
def test_a_withdrawal_is_honoured_whatever_else_is_wrong_with_its_payload(change: dict[str, object]) -> None:
    body = codec.decode_call(json_record({**GRANT, "granted": False, **change}, codec.CONSENT)).body
    assert (body.purpose, body.granted) == (Purpose.ALERTING, False)


@pytest.mark.parametrize(
    "changes",
    [
        {"ce_sequence": None},
        {"ce_subject": b"other"},
        {"ce_id": None},
        {"ce_specversion": b"2.0"},
        {"ce_mediatime": b"soon"},
    ],
)
def test_a_withdrawal_is_honoured_whatever_else_is_wrong_with_its_headers(changes: dict[str, bytes | None]) -> None:
    record = codec.decode_call(json_record({**GRANT, "granted": False}, codec.CONSENT, **changes))
    assert (record.call_id, record.body.purpose, record.body.granted) == ("call-1", Purpose.ALERTING, False)


def test_a_malformed_withdrawal_of_training_withdraws_training_alone() -> None:
    body = {"purpose": "emotion.training", "granted": False}
    assert codec.decode_call(json_record(body, codec.CONSENT)).body.purpose is Purpose.TRAINING


@pytest.mark.parametrize("body", [b"no", {"purpose": "emotion.alerting"}, {"granted": True}, []])
def test_a_consent_record_that_says_no_no_is_no_withdrawal(body: object) -> None:
    assert refused(json_record(body, codec.CONSENT)).reason is Reason.MALFORMED


def test_a_window_must_be_one_channel_of_l16() -> None:
    record = audio_record(ce_type=codec.WINDOW.encode())
    with pytest.raises(UnusableError, match="audio/L16 with channels=1"):
        codec.decode_window(record)


@pytest.mark.parametrize("name", ["call", "window_id"])
def test_a_label_that_contradicts_its_envelope_is_refused(name: str) -> None:
    label = Label("w", "c", "demo", Role.CUSTOMER, 0, 1, 0, AT, Outcome.LABELLED, "b")
    record = fetched(codec.encode_label(label))
    with pytest.raises(UnusableError, match=f"payload.{name}"):
        codec.decode_label(replace(record, value=msgspec.json.encode(replace(label, **{name: "x"}))))


@pytest.mark.parametrize("value", [b"1.5", b"-0.1", b"null", b"1e999"])
def test_a_probability_outside_0_to_1_is_refused(value: bytes) -> None:
    label = Label(
        "w", "c", "demo", Role.CUSTOMER, 0, 1, 0, AT, Outcome.LABELLED, "b", {"category.full": {"anger": 0.25}}
    )
    record = fetched(codec.encode_label(label))
    with pytest.raises(UnusableError, match="heads"):
        codec.decode_label(replace(record, value=record.value.replace(b"0.25", value)))


@pytest.mark.parametrize(
    ("key", "hash_"),
    [
        # From Apache Kafka's own UtilsTest.testMurmur2.
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_a_key_lies_where_javas_partitioner_puts_it(key: bytes, hash_: int) -> None:
    assert codec.partition_of(key, 7) == (hash_ & 0x7FFFFFFF) % 7


def test_no_reason_to_refuse_shows_up_in_a_repr() -> None:
    assert "secret" not in repr(CallRecord("secret", 0, 0, AT, Audio(Encoding.L16, 8000, 1, b"secret")))
