from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from streams.domain import consent
from streams.domain.consent import Permission, Standing
from streams.domain.records import Consent, Notice, Purpose, Role, Started

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOTICE = Notice(id="ivr-7", version="3", language="es", given_at=AT)
GRANT = Consent(Purpose.ALERTING, granted=True, basis="consent", given_at=AT)
WITHDRAWAL = replace(GRANT, granted=False)
STARTED = Started("demo", (Role.AGENT, Role.CUSTOMER), "es", notice=NOTICE, consents=(GRANT,))


def test_notice_and_consent_together_open_a_call() -> None:
    assert consent.in_force(consent.begin(STARTED, 0), AT) == 0


def test_consent_without_notice_opens_nothing() -> None:
    assert consent.in_force(consent.begin(replace(STARTED, notice=None), 0), AT) is None


def test_notice_without_consent_opens_nothing() -> None:
    assert consent.in_force(consent.begin(replace(STARTED, consents=()), 0), AT) is None


def test_consent_to_training_alone_opens_nothing() -> None:
    training = replace(GRANT, purpose=Purpose.TRAINING)
    assert consent.in_force(consent.begin(replace(STARTED, consents=(training,)), 0), AT) is None


def test_consent_may_bring_its_own_notice() -> None:
    bare = consent.begin(replace(STARTED, notice=None, consents=()), 0)
    assert consent.in_force(consent.step(bare, replace(GRANT, notice=NOTICE), 4), AT) == 4


def test_consent_ends_at_its_expiry() -> None:
    expiring = replace(GRANT, expires_at=AT + timedelta(seconds=10))
    permission = consent.begin(replace(STARTED, consents=(expiring,)), 0)
    assert consent.in_force(permission, AT + timedelta(seconds=9)) == 0
    assert consent.in_force(permission, AT + timedelta(seconds=10)) is None


def test_nothing_is_in_force_before_it_was_given() -> None:
    assert consent.in_force(consent.begin(STARTED, 0), AT - timedelta(milliseconds=1)) is None


def test_a_blank_basis_or_notice_is_none() -> None:
    blank = replace(STARTED, consents=(replace(GRANT, basis=" "),))
    assert consent.in_force(consent.begin(blank, 0), AT) is None
    nameless = replace(STARTED, notice=replace(NOTICE, id=""))
    assert consent.in_force(consent.begin(nameless, 0), AT) is None


def test_a_renewal_keeps_the_record_that_windows_in_flight_name() -> None:
    permission = consent.begin(replace(STARTED, consents=(replace(GRANT, expires_at=AT),)), 0)
    renewed = consent.step(permission, GRANT, 9)
    assert consent.in_force(renewed, AT) == 0


@given(st.lists(st.tuples(st.sampled_from(Purpose), st.booleans()), max_size=12))
def test_after_a_withdrawal_no_grant_opens_the_call_again(said: list[tuple[Purpose, bool]]) -> None:
    permission: Permission = consent.step(consent.begin(STARTED, 0), WITHDRAWAL, 1)
    for sequence, (purpose, granted) in enumerate(said, 2):
        permission = consent.step(permission, replace(GRANT, purpose=purpose, granted=granted), sequence)
        assert consent.in_force(permission, AT) is None


def test_how_a_consent_stands_has_one_word() -> None:
    given = consent.begin(STARTED, 0)
    expiring = consent.begin(replace(STARTED, consents=(replace(GRANT, expires_at=AT),)), 0)
    assert consent.standing(given, AT) is Standing.IN_FORCE
    assert consent.standing(expiring, AT) is Standing.EXPIRED
    assert consent.standing(consent.begin(replace(STARTED, notice=None), 0), AT) is Standing.MISSING
    assert consent.standing(consent.begin(replace(STARTED, consents=()), 0), AT) is Standing.MISSING
    assert consent.standing(consent.step(given, WITHDRAWAL, 7), AT) is Standing.REFUSED
