"""No text of a call's records that is stored may look like a person's number or address, or hold the call's id."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.adapters.memory_topics import Kept, MemoryTopics
from streams.domain.deadletters import Reason, UnusableError
from streams.domain.privacy import is_date, names_call
from streams.domain.records import CallBody, CallRecord, Consent, Ended, Gap, Notice, Purpose, Role, Started
from streams.kafka.cloudevents import decode_call, encode_call

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
PHONE = "+49 30 901820"
NOTICE = Notice("ivr-7", "3", "es", AT)
GRANT = Consent(Purpose.ALERTING, granted=True, basis="consent", given_at=AT)
STARTED = Started("demo", (Role.CUSTOMER,), "es", NOTICE, (GRANT,), reference="T-20260131")


def logged(body: CallBody, call_id: str = "a") -> Kept:
    return MemoryTopics(now=lambda: AT).append(encode_call(CallRecord(call_id, 1, 0, AT, body)))


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


KEY = "CC-48213"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (replace(STARTED, reference=KEY), "payload.reference"),
        (replace(STARTED, reference="crm/cc-48213/1"), "payload.reference"),
        (replace(STARTED, reference="cc%2D48213"), "payload.reference"),
        (replace(STARTED, notice=replace(NOTICE, id=KEY)), "payload.notice.id"),
        (replace(STARTED, notice=replace(NOTICE, version="v1 " + KEY)), "payload.notice.version"),
        (replace(STARTED, language=KEY), "payload.language"),
        (replace(STARTED, use_case=KEY), "payload.use_case"),
        (replace(STARTED, consents=(replace(GRANT, basis=f"said in {KEY}"),)), "payload.consents[...].basis"),
        (replace(GRANT, notice=replace(NOTICE, language=KEY)), "payload.notice.language"),
        (Ended(KEY), "payload.reason"),
        (Gap(200, KEY), "payload.reason"),
    ],
)
def test_the_calls_own_id_is_refused_wherever_it_would_be_stored(body: CallBody, field: str) -> None:
    with pytest.raises(UnusableError, match="holds the call's id") as error:
        decode_call(logged(body, KEY))
    assert error.value.reason is (Reason.BAD_REFERENCE if field == "payload.reference" else Reason.MALFORMED)
    assert str(error.value).startswith(field)
    assert "48213" not in str(error.value)
    assert decode_call(logged(body, "CC-48214")).body == body


@pytest.mark.parametrize("call_id", ["3", "es", "iv", "mo"])
def test_an_id_of_one_or_two_characters_may_be_part_of_any_text_and_be_none(call_id: str) -> None:
    notice = replace(NOTICE, version="v3", language="es-ES")
    body = replace(STARTED, language="es-ES", notice=notice)
    assert decode_call(logged(body, call_id)).body == body
    with pytest.raises(UnusableError, match=r"^payload.reference holds"):
        decode_call(logged(replace(body, reference=call_id.upper()), call_id))


@pytest.mark.parametrize("call_id", ["customer", "emotion.alerting", "alerting"])
def test_the_contracts_own_words_are_no_texts_that_could_hold_an_id(call_id: str) -> None:
    assert decode_call(logged(STARTED, call_id)).body == STARTED


words = st.text(st.characters(codec="utf-8"), max_size=20)


@given(words, st.text(st.characters(codec="utf-8"), min_size=3, max_size=20), words)
def test_no_text_around_it_hides_a_calls_id(before: str, call_id: str, after: str) -> None:
    assert names_call(before + call_id + after, call_id)


@given(words, st.text(st.characters(codec="ascii"), min_size=3, max_size=20), words)
def test_no_case_hides_a_calls_id(before: str, call_id: str, after: str) -> None:
    assert names_call(before + call_id.swapcase() + after, call_id)


@pytest.mark.parametrize(("text", "call_id"), [(PHONE, "a"), (KEY, KEY)])
def test_a_withdrawal_that_holds_one_counts_all_the_same(text: str, call_id: str) -> None:
    said = decode_call(logged(replace(GRANT, granted=False, basis=text), call_id))
    assert isinstance(said.body, Consent)
    assert not said.body.granted
    assert text not in repr(said.body)


def test_what_a_contact_centre_would_send_is_taken() -> None:
    assert decode_call(logged(STARTED)).body == STARTED
