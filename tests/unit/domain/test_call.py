from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain import call
from streams.domain.call import Action, Break, End, GrantRefused, Ledger, Listen, Refuse, Withdraw
from streams.domain.deadletters import Reason, UnusableError
from streams.domain.records import (
    Audio,
    CallBody,
    CallRecord,
    Consent,
    Encoding,
    Ended,
    Gap,
    Notice,
    Purpose,
    Role,
    Started,
)
from streams.domain.windows import Fate

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOTICE = Notice("ivr-7", "3", "es", AT)
GRANT = Consent(Purpose.ALERTING, granted=True, basis="consent", given_at=AT)
WITHDRAWAL = replace(GRANT, granted=False)
STARTED = Started("demo", (Role.AGENT, Role.CUSTOMER), "es", notice=NOTICE, consents=(GRANT,))
CHUNK = Audio(Encoding.PCMU, 8000, 2, bytes(3200))  # 200 ms


def record(sequence: int, media_ms: int, body: CallBody, after_s: float = 0) -> CallRecord:
    return CallRecord("call", sequence, media_ms, AT + timedelta(seconds=after_s), body)


def begin(started: Started = STARTED) -> Ledger:
    return call.begin(record(0, 0, started), call="pseudonym", epoch="e1")


def run(*records: CallRecord, ledger: Ledger | None = None) -> tuple[Ledger, list[Action]]:
    ledger, actions = ledger or begin(), []
    for said in records:
        ledger, more = call.step(ledger, said)
        actions += more
    return ledger, actions


def test_audio_under_consent_is_heard_in_media_order() -> None:
    _, actions = run(record(1, 0, CHUNK), record(2, 200, CHUNK))
    assert [(action.at_ms, action.consent_seq) for action in actions if isinstance(action, Listen)] == [
        (0, 0),
        (200, 0),
    ]


def test_audio_without_consent_is_never_heard_and_is_counted() -> None:
    ledger, actions = run(record(1, 0, CHUNK), ledger=begin(replace(STARTED, consents=())))
    assert actions == [Break(0)]
    assert ledger.fates == {Fate.NO_CONSENT: 200}


def test_a_later_grant_opens_the_call_under_its_own_record() -> None:
    later = begin(replace(STARTED, consents=()))
    _, actions = run(record(1, 0, CHUNK), record(2, 200, GRANT), record(3, 200, CHUNK), ledger=later)
    assert [action.consent_seq for action in actions if isinstance(action, Listen)] == [2]


def test_a_withdrawal_asks_for_deletion_at_once() -> None:
    _, actions = run(record(1, 0, CHUNK), record(2, 200, WITHDRAWAL))
    assert actions[-1] == Withdraw(AT)


def test_a_withdrawal_counts_however_late_it_comes() -> None:
    ledger, _ = run(record(1, 0, CHUNK), record(2, 200, CHUNK))
    _, actions = call.step(ledger, record(1, 0, WITHDRAWAL))
    assert actions == (Withdraw(AT),)


def test_a_grant_after_a_refusal_at_the_start_opens_nothing_and_can_be_counted() -> None:
    refused = begin(replace(STARTED, consents=(WITHDRAWAL,)))
    training = replace(GRANT, purpose=Purpose.TRAINING)
    said = [GRANT, CHUNK, training, replace(training, granted=False), GRANT, GRANT]
    sequences = [1, 2, 3, 4, 5, 5]  # the last came twice
    told = [record(at, 0 if at < 3 else 200, body) for at, body in zip(sequences, said, strict=True)]
    ledger, actions = run(*told, ledger=refused)
    assert actions == [GrantRefused(), Break(0), GrantRefused(), GrantRefused()]
    assert ledger.fates == {Fate.NO_CONSENT: 200}


def test_a_withdrawal_after_a_refusal_at_the_start_deletes_the_call() -> None:
    refused = begin(replace(STARTED, consents=(WITHDRAWAL, GRANT)))
    _, actions = run(record(1, 0, CHUNK), record(2, 200, WITHDRAWAL), ledger=refused)
    assert actions == [Break(0), Withdraw(AT)]


def test_a_chunk_that_came_before_is_a_duplicate() -> None:
    ledger, actions = run(record(1, 0, CHUNK), record(1, 0, CHUNK))
    assert len(actions) == 1
    assert ledger.fates == {Fate.DUPLICATE: 200}


def test_a_chunk_from_before_the_present_media_time_is_late() -> None:
    ledger, _ = run(record(1, 0, CHUNK), record(2, 200, CHUNK), record(3, 100, CHUNK))
    assert ledger.fates == {Fate.LATE: 200}
    assert ledger.media_ms == 400


def test_missing_media_time_is_a_gap_and_ends_the_turns() -> None:
    ledger, actions = run(record(1, 0, CHUNK), record(4, 1000, CHUNK))
    assert ledger.fates == {Fate.GAP: 800}
    assert ledger.missing == 2
    assert actions[1] == Break(200)


def test_a_gap_record_moves_media_time_on() -> None:
    ledger, actions = run(record(1, 0, CHUNK), record(2, 200, Gap(5000, "paused")), record(3, 5200, CHUNK))
    assert ledger.fates == {Fate.GAP: 5000}
    assert [action.at_ms for action in actions if isinstance(action, Listen)] == [0, 5200]


def test_the_end_closes_every_turn_and_the_call() -> None:
    ledger, actions = run(record(1, 0, CHUNK), record(2, 200, Ended("completed")))
    assert actions[-2:] == [Break(200), End()]
    assert ledger.end_reason == "completed"


def test_a_call_is_idle_after_thirty_seconds_of_the_logs_time() -> None:
    ledger, _ = run(record(1, 0, CHUNK))
    assert call.idle(ledger, AT + timedelta(seconds=29))[1] == ()
    assert call.idle(ledger, AT + timedelta(seconds=30))[1] == (Break(200),)


def test_an_idle_call_ends_after_fifteen_minutes() -> None:
    ledger, actions = call.idle(begin(), AT + timedelta(minutes=15))
    assert actions == (Break(0), End())
    assert ledger.end_reason == "idle"


def test_a_record_after_an_idle_time_first_ends_the_turns_as_the_first_pass_did() -> None:
    ledger, _ = run(record(1, 0, CHUNK))
    _, actions = call.step(ledger, record(2, 200, CHUNK, after_s=30))
    assert actions[0] == Break(200)


@pytest.mark.parametrize(
    "changed", [replace(CHUNK, rate=16000), replace(CHUNK, channels=1)], ids=["another rate", "another channel count"]
)
def test_audio_that_changes_its_shape_is_refused_and_counted(changed: Audio) -> None:
    ledger, actions = run(record(1, 0, CHUNK), record(2, 200, changed))
    assert isinstance(actions[-1], Refuse)
    assert actions[-1].reason is Reason.AUDIO_CHANGED
    assert ledger.fates == {Fate.DEAD: changed.duration_ms}


def test_a_second_start_is_refused() -> None:
    _, actions = run(record(1, 0, STARTED))
    assert [action.reason for action in actions if isinstance(action, Refuse)] == [Reason.ALREADY_STARTED]


def test_a_mixed_channel_is_accepted_counted_and_not_heard() -> None:
    mixed = begin(replace(STARTED, channels=(Role.MIXED,)))
    ledger, actions = run(record(1, 0, replace(CHUNK, channels=1)), ledger=mixed)
    assert actions == []
    assert ledger.fates == {Fate.UNKNOWN_ROLE: 400}


@pytest.mark.parametrize(
    "channels",
    [(Role.CUSTOMER, Role.MIXED), (Role.MIXED, Role.CUSTOMER), (Role.AGENT, Role.MIXED), (Role.MIXED, Role.MIXED)],
)
def test_a_call_with_a_mixed_channel_is_not_heard_on_the_other_channel_either(channels: tuple[Role, ...]) -> None:
    mixed = begin(replace(STARTED, channels=channels))
    ledger, actions = run(record(1, 0, CHUNK), record(2, 300, CHUNK), record(3, 500, Ended("completed")), ledger=mixed)
    assert actions == [Break(200), Break(500), End()]
    assert ledger.fates == {Fate.UNKNOWN_ROLE: 400, Fate.GAP: 100}


def test_a_call_begins_with_started_and_nothing_else() -> None:
    with pytest.raises(UnusableError) as refused:
        call.begin(record(0, 0, CHUNK), call="p", epoch="e")
    assert refused.value.reason is Reason.NOT_STARTED


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.AGENT])
def test_two_channels_may_not_hold_the_same_person(role: Role) -> None:
    with pytest.raises(UnusableError):
        begin(replace(STARTED, channels=(role, role)))


bodies = st.sampled_from([CHUNK, Gap(300, "lost"), GRANT, STARTED, replace(CHUNK, rate=16000)])
records = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 2000), bodies, st.integers(0, 60)), max_size=20)


@given(st.sampled_from([STARTED, replace(STARTED, channels=(Role.CUSTOMER, Role.MIXED))]), records)
def test_shared_fates_and_heard_audio_account_for_all_media_time(
    started: Started, said: list[tuple[int, int, CallBody, int]]
) -> None:
    ledger, heard = begin(started), 0
    clock = 0
    for sequence, media_ms, body, seconds in said:
        clock += seconds
        ledger, actions = call.step(ledger, record(sequence, media_ms, body, clock))
        heard += sum(action.audio.duration_ms for action in actions if isinstance(action, Listen))
    dropped = ledger.fates.get(Fate.DUPLICATE, 0) + ledger.fates.get(Fate.LATE, 0)
    assert sum(ledger.fates.values()) - dropped + heard == ledger.media_ms


@given(records)
def test_heard_audio_never_overlaps_and_never_goes_back(said: list[tuple[int, int, CallBody, int]]) -> None:
    ledger, position = begin(), 0
    for sequence, media_ms, body, _ in said:
        ledger, actions = call.step(ledger, record(sequence, media_ms, body))
        for action in actions:
            if isinstance(action, Listen):
                assert action.at_ms >= position
                position = action.at_ms + action.audio.duration_ms
