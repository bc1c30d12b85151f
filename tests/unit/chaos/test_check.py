"""A checker that cannot fail proves nothing: each promise, broken by hand, is found."""

from dataclasses import replace
from datetime import timedelta

import pytest
from unit.chaos.conftest import AT, Run, committed

from streams.kafka.cloudevents import decode_deadletter, encode_deadletter, encode_window


def test_a_run_that_went_well_has_no_findings(run: Run) -> None:
    found = run.check()
    assert dict(found.broken) == {}
    assert found.records == len(run.ledger.sendings)
    assert found.effects > 10
    assert (found.lost, found.doubled, found.repeats) == (0, 0, 0)


def test_a_lost_label_row_is_found(run: Run) -> None:
    run.rows["labels"].pop()
    found = run.check()
    assert (set(found.broken), found.lost) == ({"I2 effects"}, 1)


def test_a_label_row_too_many_is_found(run: Run) -> None:
    run.rows["labels"].append(run.rows["labels"][0] | {"window_id": "another"})
    found = run.check()
    assert (set(found.broken), found.doubled) == ({"I2 effects"}, 1)


def test_another_probability_in_a_row_is_found(run: Run) -> None:
    row = next(row for row in run.rows["labels"] if row["heads"])
    row["heads"]["valence.full"]["negative"] += 1e-6
    assert set(run.check().broken) == {"I2 effects"}


def test_a_lost_escalation_is_found(run: Run) -> None:
    run.rows["escalations"].pop()
    assert run.check().lost == 1


def test_an_escalation_that_never_got_to_the_topic_is_found(run: Run) -> None:
    kept = run.rows["escalations"][0]["id"]
    records = run.topics["escalations.v1"]
    run.topics["escalations.v1"] = [each for each in records if dict(each.headers)["ce_id"] != kept.encode()]
    assert set(run.check().broken) == {"I2 effects"}


def test_an_escalation_twice_in_the_outbox_is_found(run: Run) -> None:
    run.rows["outbox"].append(dict(run.rows["outbox"][0]))
    assert set(run.check().broken) == {"I2 effects"}


def test_a_millisecond_without_a_fate_is_found(run: Run) -> None:
    fates = run.rows["calls"][0]["fates"]
    fates["1 customer"] = {**fates["1 customer"], "silence": fates["1 customer"]["silence"] - 1}
    assert set(run.check().broken) == {"I1 conservation"}


def test_a_window_that_was_never_sent_is_found(run: Run) -> None:
    window = run.of(withdrawn=False)[0].windows[0]
    records = run.topics["windows.v1"]
    run.topics["windows.v1"] = [each for each in records if dict(each.headers)["ce_id"] != window.id.encode()]
    assert set(run.check().broken) == {"I1 conservation"}


def test_windows_in_another_order_than_the_call_are_found(run: Run) -> None:
    due = next(each for each in run.of(withdrawn=False) if len(each.windows) > 1)
    records = run.topics["windows.v1"]
    own = [place for place, each in enumerate(records) if each.key == due.call.encode()]
    records[own[0]], records[own[1]] = records[own[1]], records[own[0]]
    assert set(run.check().broken) == {"I3 order"}


def test_a_window_that_comes_again_is_counted_and_no_finding(run: Run) -> None:
    run.topics["windows.v1"].append(run.topics["windows.v1"][0])
    found = run.check()
    assert (dict(found.broken), found.repeats) == ({}, 1)


def test_a_commit_ahead_of_its_effect_is_found(run: Run) -> None:
    due = next(each for each in run.of(withdrawn=False) if each.windows)
    first = due.first_offsets[due.windows[0].id]
    before = AT - timedelta(seconds=1)
    run.samples = [committed("segment", due.partition, first, before)]
    assert dict(run.check().broken) == {}
    run.samples = [committed("segment", due.partition, first + 1, before)]
    assert set(run.check().broken) == {"I4 commit"}
    run.samples = [committed("segment", due.partition, first + 1, AT)]
    assert dict(run.check().broken) == {}


def test_a_commit_ahead_of_a_rows_own_commit_is_found(run: Run) -> None:
    label = run.topics["labels.v1"][0]
    run.samples = [committed("escalate", label.partition, label.offset + 1, AT - timedelta(seconds=1))]
    assert set(run.check().broken) == {"I4 commit"}
    run.rows["committed"] = [row | {"at": AT - timedelta(seconds=2)} for row in run.rows["committed"]]
    assert dict(run.check().broken) == {}


def test_a_commit_ahead_of_a_dead_letter_is_found(run: Run) -> None:
    letters = [decode_deadletter(record) for record in run.topics["deadletters.v1"]]
    first = min(letters, key=lambda letter: letter.offset)
    run.samples = [committed("segment", first.partition, first.offset, AT - timedelta(seconds=1))]
    assert dict(run.check().broken) == {}
    run.samples = [committed("segment", first.partition, first.offset + 1, AT - timedelta(seconds=1))]
    assert set(run.check().broken) == {"I4 commit"}


def test_a_row_of_a_withdrawn_call_is_found(run: Run) -> None:
    call = run.of(withdrawn=True)[0].call
    run.rows["labels"].append(run.rows["labels"][0] | {"window_id": "another", "call": call})
    assert "I5 consent" in run.check().broken


def test_a_window_after_a_withdrawal_is_found(run: Run) -> None:
    due, other = run.of(withdrawn=True)[0], run.of(withdrawn=False)[0].windows[0]
    sent = encode_window(replace(other, id="after", call=due.call, start_ms=10**6, end_ms=10**6 + 3000))
    some = run.topics["windows.v1"][0]
    some = replace(some, key=sent.key, value=sent.value, headers=sent.headers)
    run.topics["windows.v1"].append(some)
    assert set(run.check().broken) == {"I1 conservation"}


def test_an_outbox_row_that_a_withdrawn_call_left_is_found(run: Run) -> None:
    call = run.of(withdrawn=True)[0].call
    run.rows["outbox"].append({"call": call, "escalation_id": "another", "sent_at": AT})
    assert set(run.check().broken) == {"I5 consent"}


@pytest.mark.parametrize("times", [0, 2])
def test_a_withdrawal_that_is_not_on_record_exactly_once_is_found(run: Run, times: int) -> None:
    call = run.of(withdrawn=True)[0].call
    own = [row for row in run.rows["audit"] if row["call"] == call]
    run.rows["audit"] = [row for row in run.rows["audit"] if row["call"] != call] + own * times
    assert set(run.check().broken) == {"I5 consent"}


def test_a_withdrawal_on_record_of_a_call_that_was_not_withdrawn_is_found(run: Run) -> None:
    run.rows["audit"].append({"call": run.of(withdrawn=False)[0].call, "action": "call.withdrawn"})
    assert set(run.check().broken) == {"I5 consent"}


def test_an_audit_row_that_was_edited_or_deleted_is_found(run: Run) -> None:
    sound = run.trail
    run.trail = [sound[0], replace(sound[1], actor="nobody"), sound[2]]
    assert set(run.check().broken) == {"I5 consent"}
    run.trail = [sound[0], sound[2]]
    assert set(run.check().broken) == {"I5 consent"}


def test_an_escalation_that_comes_again_after_its_retraction_is_found(run: Run) -> None:
    records = run.topics["escalations.v1"]
    of_withdrawn = {due.call.encode() for due in run.of(withdrawn=True)}
    run.topics["escalations.v1"] = [*records, next(each for each in records if each.key in of_withdrawn)]
    assert set(run.check().broken) == {"I5 consent"}


def test_an_escalation_of_a_withdrawn_call_that_was_not_retracted_is_found(run: Run) -> None:
    records = run.topics["escalations.v1"]
    run.topics["escalations.v1"] = [each for each in records if b":retracted" not in dict(each.headers)["ce_id"]]
    assert set(run.check().broken) == {"I5 consent"}


def test_a_withdrawn_call_without_a_tombstone_is_found(run: Run) -> None:
    gone = run.of(withdrawn=True)[0].call
    run.rows["call_state"] = [row for row in run.rows["call_state"] if row["call"] != gone]
    assert set(run.check().broken) == {"I5 consent"}


def test_a_missing_dead_letter_is_found(run: Run) -> None:
    run.topics["deadletters.v1"].pop()
    found = run.check()
    assert (set(found.broken), found.lost) == ({"I8 dead letters"}, 1)


def test_a_dead_letter_of_a_healthy_record_is_found(run: Run) -> None:
    some = run.topics["deadletters.v1"][0]
    healthy = next(entry for entry in run.ledger.entries if entry.kind == "healthy")
    letter = replace(decode_deadletter(some), partition=healthy.partition, offset=healthy.offset)
    sent = encode_deadletter(letter)
    run.topics["deadletters.v1"].append(replace(some, key=sent.key, value=sent.value, headers=sent.headers))
    found = run.check()
    assert (set(found.broken), found.doubled) == ({"I8 dead letters"}, 1)


def test_a_record_that_the_broker_acknowledged_and_lost_is_found(run: Run) -> None:
    run.ledger.entries.append(replace(run.ledger.entries[0], offset=10**6))
    assert set(run.check().broken) == {"I0 log"}
