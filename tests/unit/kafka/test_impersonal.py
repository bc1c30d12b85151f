"""No text of a call's records that is stored may look like a person's number or address."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from streams.adapters.memory_topics import Kept, MemoryTopics
from streams.domain.deadletters import Reason, UnusableError
from streams.domain.records import CallBody, CallRecord, Consent, Ended, Gap, Notice, Purpose, Role, Started
from streams.kafka.cloudevents import decode_call, encode_call

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
PHONE = "+49 30 901820"
NOTICE = Notice("ivr-7", "3", "es", AT)
GRANT = Consent(Purpose.ALERTING, granted=True, basis="consent", given_at=AT)
STARTED = Started("demo", (Role.CUSTOMER,), "es", NOTICE, (GRANT,), reference="T-20260131")


def logged(body: CallBody) -> Kept:
    return MemoryTopics(now=lambda: AT).append(encode_call(CallRecord("a", 1, 0, AT, body)))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (replace(STARTED, notice=replace(NOTICE, id=PHONE)), "payload.notice.id"),
        (replace(STARTED, notice=replace(NOTICE, version="erika@example.com")), "payload.notice.version"),
        (replace(STARTED, language=PHONE), "payload.language"),
        (replace(STARTED, use_case=PHONE), "payload.use_case"),
        (replace(STARTED, consents=(replace(GRANT, basis=PHONE),)), "payload.consents[...].basis"),
        (replace(GRANT, notice=replace(NOTICE, language=PHONE)), "payload.notice.language"),
        (Ended(PHONE), "payload.reason"),
        (Gap(200, PHONE), "payload.reason"),
    ],
)
def test_it_is_refused_by_the_fields_name_without_being_quoted(body: CallBody, field: str) -> None:
    with pytest.raises(UnusableError, match="looks like") as error:
        decode_call(logged(body))
    assert error.value.reason is Reason.MALFORMED
    assert str(error.value).startswith(field)
    assert "901820" not in str(error.value)
    assert "erika" not in str(error.value)


def test_a_withdrawal_that_holds_one_counts_all_the_same() -> None:
    said = decode_call(logged(replace(GRANT, granted=False, basis=PHONE)))
    assert isinstance(said.body, Consent)
    assert not said.body.granted
    assert PHONE not in repr(said.body)


def test_what_a_contact_centre_would_send_is_taken() -> None:
    assert decode_call(logged(STARTED)).body == STARTED
