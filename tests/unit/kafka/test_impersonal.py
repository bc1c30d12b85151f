"""No text of a call's records that is stored may look like a person's number or address."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.adapters.memory_topics import Kept, MemoryTopics
from streams.domain.deadletters import Reason, UnusableError
from streams.domain.privacy import is_date
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


@pytest.mark.parametrize("text", ["2026-11-23", "2026-11-23 12:00", "2026-11-23T12:00:00Z", "2026-11-23 12:00+02:00"])
@pytest.mark.parametrize("part", ["id", "version"])
def test_a_notice_may_be_named_by_its_day(part: str, text: str) -> None:
    notice = replace(NOTICE, **{part: text})
    for body in (replace(STARTED, notice=notice), replace(GRANT, notice=notice)):
        assert decode_call(logged(body)).body == body


@pytest.mark.parametrize(
    "text", ["2026-11-31", "1999-12-31", "2026-11-23 030", "2026/11/23", "0049 2026-11-23", "4711-0815"]
)
def test_a_number_that_is_no_day_is_refused_with_what_to_write_instead(text: str) -> None:
    with pytest.raises(UnusableError, match=r"^payload.notice.version .*7 to 17 digits.* v4711-0815$") as error:
        decode_call(logged(replace(STARTED, notice=replace(NOTICE, version=text))))
    assert text == "4711-0815" or text not in str(error.value)
    instead = replace(STARTED, notice=replace(NOTICE, version="v4711-0815"))
    assert decode_call(logged(instead)).body == instead


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (replace(STARTED, reference="2026-11-23"), Reason.BAD_REFERENCE),
        (replace(STARTED, language="2026-11-23"), Reason.MALFORMED),
        (replace(STARTED, consents=(replace(GRANT, basis="2026-11-23"),)), Reason.MALFORMED),
    ],
)
def test_a_day_passes_where_a_notice_is_named_and_nowhere_else(body: CallBody, reason: Reason) -> None:
    with pytest.raises(UnusableError) as error:
        decode_call(logged(body))
    assert error.value.reason is reason


@given(st.integers(1990, 2110), st.integers(0, 99), st.integers(0, 99))
def test_a_number_passes_for_a_day_only_where_the_calendar_has_it(year: int, month: int, day: int) -> None:
    text = f"{year}-{month:02}-{day:02}"
    try:
        exists = date.fromisoformat(text).year // 100 == 20
    except ValueError:
        exists = False
    assert is_date(text) == exists


@given(st.dates(date(2000, 1, 1), date(2099, 12, 31)), st.text("0123456789 ().-/+", min_size=1), st.booleans())
def test_no_phone_number_passes_with_a_day_in_it(day: date, more: str, before: bool) -> None:
    assert is_date(day.isoformat())
    assert not is_date(more + day.isoformat() if before else day.isoformat() + more)


def test_a_withdrawal_that_holds_one_counts_all_the_same() -> None:
    said = decode_call(logged(replace(GRANT, granted=False, basis=PHONE)))
    assert isinstance(said.body, Consent)
    assert not said.body.granted
    assert PHONE not in repr(said.body)


def test_what_a_contact_centre_would_send_is_taken() -> None:
    assert decode_call(logged(STARTED)).body == STARTED
