from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.calls import GIVEN_BEFORE, Planned, RolesError, counted, roles
from services.commands.publish import check, grant, unscored
from services.recordings import open_recording
from services.standalone.samples import CALM
from streams.domain import consent
from streams.domain.deadletters import UnusableError
from streams.domain.records import Audio, Notice, Role, Started

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NOTICE = Notice("greeting", "1", "en", AT - GIVEN_BEFORE)
STEREO = open_recording(CALM)


def started(**changed: object) -> Started:
    granted = grant("consent", AT - GIVEN_BEFORE, None, AT)
    whole = Started("demo", (Role.AGENT, Role.CUSTOMER), "en", NOTICE, (granted,))
    return replace(whole, **changed)  # type: ignore[arg-type]


def test_a_call_with_customer_notice_and_consent_is_scored_from_its_first_chunk() -> None:
    assert not list(unscored(started()))
    assert consent.in_force(consent.begin(started(), 0), AT) == 0


@pytest.mark.parametrize(
    ("changed", "remedy"),
    [
        ({"channels": (Role.MIXED,)}, "--channels"),
        ({"channels": (Role.AGENT,)}, "--channels"),
        ({"notice": None}, "--notice"),
        ({"consents": ()}, "--consent"),
    ],
)
def test_every_reason_for_not_being_scored_names_its_option(changed: dict[str, object], remedy: str) -> None:
    (reason,) = unscored(started(**changed))
    assert remedy in reason


def test_without_roles_every_channel_is_mixed_and_the_call_still_begins() -> None:
    found = roles(None, STEREO)
    assert found == (Role.MIXED, Role.MIXED)
    check(Planned(STEREO, "some-call", started(channels=found, notice=None, consents=()), AT))


def test_one_channel_and_two_roles_is_refused_with_what_to_write() -> None:
    with pytest.raises(RolesError, match="write customer, or mixed"):
        roles("agent,customer", replace(STEREO, channels=1))


@pytest.mark.parametrize("reference", ["+49 170 1234567", "jane@example.org", "a\x00b", "x" * 300])
def test_what_the_stream_would_dead_letter_is_not_published(reference: str) -> None:
    with pytest.raises(UnusableError):
        check(Planned(STEREO, "some-call", started(reference=reference), AT))


def test_every_chunk_is_counted_once() -> None:
    heard: list[Audio] = []
    records = list(counted(Planned(STEREO, "some-call", started(), AT).records(), heard.append))
    assert sum(audio.duration_ms for audio in heard) == STEREO.duration_ms
    assert [record.body for record in records if isinstance(record.body, Audio)] == heard
