"""A label or an escalation with a number that is none cannot be read, whoever wrote it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from math import inf, nan

import pytest

from streams.adapters.memory_topics import MemoryTopics
from streams.domain.deadletters import Reason, UnusableError
from streams.domain.records import Consent, Escalation, Label, Notice, Outcome, Purpose, Role
from streams.kafka import cloudevents as codec
from streams.ports import Fetched, Outgoing

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
HEADS = {"category.full": {"anger": 0.25, "neutral": 0.75}}
LABEL = Label("w", "c", "demo", Role.CUSTOMER, 0, 3000, 0, AT, Outcome.LABELLED, "b", HEADS)
CONSENT = Consent(Purpose.ALERTING, granted=True, basis="consent", given_at=AT, notice=Notice("n", "1", "en", AT))
ESCALATION = Escalation("e", "c", "demo", "rule", "high", ("w",), 0, 3000, HEADS, CONSENT, "b", AT)

Decode = Callable[[Fetched], object]
BOTH = pytest.mark.parametrize(
    ("outgoing", "decode"),
    [
        (codec.encode_label(LABEL), codec.decode_label),
        (codec.encode_escalation(ESCALATION), codec.decode_escalation),
    ],
    ids=["label", "escalation"],
)


def refused(outgoing: Outgoing, decode: Decode) -> None:
    with pytest.raises(UnusableError) as error:
        decode(MemoryTopics(now=lambda: AT).append(outgoing))
    assert error.value.reason is Reason.MALFORMED


@BOTH
@pytest.mark.parametrize(
    "written", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"null", b'"NaN"', b"1.0001", b"-0.1"]
)
def test_a_number_that_is_no_probability_cannot_be_read(outgoing: Outgoing, decode: Decode, written: bytes) -> None:
    assert outgoing.value.count(b"0.25") == 1
    refused(replace(outgoing, value=outgoing.value.replace(b"0.25", written)), decode)


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_what_our_own_codec_would_write_of_it_cannot_be_read_either(value: float) -> None:
    heads = {"category.full": {"anger": value, "neutral": 0.75}}
    refused(codec.encode_label(replace(LABEL, heads=heads)), codec.decode_label)
    refused(codec.encode_escalation(replace(ESCALATION, heads=heads)), codec.decode_escalation)
