"""What the segment stage may rely on, of PostgreSQL and of its twin alike."""
# ruff: noqa: ANN401 - what a test asks of the two worlds is its type

from dataclasses import replace
from datetime import timedelta
from typing import Any

from streams.domain.records import Consent, Purpose
from streams.ports import Stored


async def test_what_was_saved_is_loaded(world: Any) -> None:
    await world.store.save([world.checkpoint(7), world.checkpoint(9, world.OTHER)])

    assert await world.store.load([world.CALL, "ef" * 32]) == {world.CALL: Stored(world.CALL, 7, b"sealed 7")}
    assert await world.store.load([]) == {}
    assert await world.call_row(world.CALL) == world.call()


async def test_a_partition_is_loaded_without_its_closed_calls(world: Any) -> None:
    await world.store.save([world.checkpoint(7), world.checkpoint(9, world.OTHER)])
    await world.store.save([world.checkpoint(10, world.OTHER, closed=True)])

    assert await world.store.load_partition(3) == [Stored(world.CALL, 7, b"sealed 7")]
    assert await world.store.load_partition(4) == []


async def test_a_zombie_writes_neither_state_nor_row(world: Any) -> None:
    await world.store.save([world.checkpoint(7)])

    refused = await world.store.save(
        [world.checkpoint(7, language="behind"), world.checkpoint(5, language="far behind")]
    )

    assert refused == frozenset()
    assert await world.store.load([world.CALL]) == {world.CALL: Stored(world.CALL, 7, b"sealed 7")}
    assert await world.call_row(world.CALL) == world.call()


async def test_a_turn_that_opens_where_the_call_was_saved_is_told_and_nothing_else_is_written(world: Any) -> None:
    await world.store.save([world.checkpoint(7), world.checkpoint(7, world.OTHER)])

    assert await world.store.save([world.checkpoint(7, turn_at=world.AT, language="other")]) == frozenset()
    assert await world.call_row(world.CALL) == world.call(turn_at=world.AT)
    assert await world.call_row(world.OTHER) == world.call(world.OTHER)

    await world.store.save([world.checkpoint(6, turn_at=world.AT + timedelta(seconds=1))])  # far behind
    assert await world.call_row(world.CALL) == world.call(turn_at=world.AT)
    await world.store.save([world.checkpoint(7)])
    assert await world.call_row(world.CALL) == world.call()


async def test_of_a_call_that_is_closed_no_turn_is_told(world: Any) -> None:
    ended = {"ended_at": world.AT, "end_reason": "hangup"}
    await world.store.save([world.checkpoint(7, closed=True, **ended)])

    assert await world.store.save([world.checkpoint(7, turn_at=world.AT)]) == {world.CALL}
    assert await world.call_row(world.CALL) == world.call(**ended)


async def test_one_call_behind_does_not_hold_the_others_back(world: Any) -> None:
    await world.store.save([world.checkpoint(7), world.checkpoint(7, world.OTHER)])
    await world.store.save([world.checkpoint(6), world.checkpoint(8, world.OTHER)])

    found = await world.store.load([world.CALL, world.OTHER])
    assert {name: stored.next_offset for name, stored in found.items()} == {world.CALL: 7, world.OTHER: 8}


async def test_the_row_follows_the_state(world: Any) -> None:
    training = Consent(Purpose.TRAINING, granted=False, basis="", given_at=world.AT)
    later = {"consents": {Purpose.ALERTING: world.GRANT, Purpose.TRAINING: training}, "consent_seq": 4}
    await world.store.save([world.checkpoint(7, consent_seq=None, consents={}, notice=None, reference=None)])
    await world.store.save([world.checkpoint(8, **later)])

    assert await world.call_row(world.CALL) == world.call(**later)


async def test_an_ended_call_keeps_its_row_and_labels_and_leaves_a_tombstone(world: Any) -> None:
    ended = {"ended_at": world.AT + timedelta(minutes=3), "end_reason": "hangup"}
    await world.store.save([world.checkpoint(7)])
    await world.record([world.label("w1")], [])
    await world.store.save([world.checkpoint(20, closed=True, **ended)])

    assert await world.store.load([world.CALL]) == {world.CALL: Stored(world.CALL, 20, b"", closed=True)}
    assert await world.call_row(world.CALL) == world.call(**ended)
    assert await world.counts(world.CALL) == {"calls": 1, "labels": 1, "evolutions": 1, "escalations": 0}


async def test_a_closed_call_is_not_opened_again_and_the_writer_is_told(world: Any) -> None:
    await world.store.save([world.checkpoint(20, closed=True)])

    assert await world.store.save([world.checkpoint(21), world.checkpoint(3, world.OTHER)]) == {world.CALL}
    assert (await world.store.load([world.CALL]))[world.CALL].closed


async def test_a_withdrawal_leaves_a_tombstone_an_audit_row_and_nothing_else(world: Any) -> None:
    await world.store.save([world.checkpoint(7), world.checkpoint(7, world.OTHER)])
    await world.record([world.label("w1"), world.label("w2", world.OTHER)], [world.escalation("e1")])

    await world.store.withdraw(world.CALL, partition=3, next_offset=9, at=world.AT)

    assert await world.counts(world.CALL) == {"calls": 0, "labels": 0, "evolutions": 0, "escalations": 0}
    assert await world.store.load([world.CALL]) == {world.CALL: Stored(world.CALL, 9, b"", closed=True)}
    assert await world.audited() == [("call.withdrawn", world.CALL)]
    assert await world.counts(world.OTHER) == {"calls": 1, "labels": 1, "evolutions": 1, "escalations": 0}


async def test_a_withdrawal_retracts_what_was_sent_and_drops_what_was_not(world: Any) -> None:
    sent = world.escalation("e1")
    await world.store.save([world.checkpoint(7), world.checkpoint(7, world.OTHER)])
    await world.record([], [sent, world.escalation("e2"), world.escalation("e3", world.OTHER)])
    await world.send("e1")

    await world.store.withdraw(world.CALL, partition=3, next_offset=9, at=world.AT)

    retracted = replace(sent, window_ids=(), from_ms=0, to_ms=0, heads={}, reference=None, late=False, retracted=True)
    assert await world.queued() == [world.escalation("e3", world.OTHER), retracted]


async def test_a_withdrawal_counts_once(world: Any) -> None:
    await world.store.save([world.checkpoint(7)])
    await world.record([], [world.escalation("e1")])
    await world.send("e1")
    for next_offset in (9, 9, 12):
        await world.store.withdraw(world.CALL, partition=3, next_offset=next_offset, at=world.AT)

    assert len(await world.queued()) == 1
    assert await world.audited() == [("call.withdrawn", world.CALL)]


async def test_a_withdrawal_of_an_unknown_call_keeps_it_from_opening(world: Any) -> None:
    await world.store.withdraw(world.CALL, partition=3, next_offset=2, at=world.AT)

    assert await world.store.save([world.checkpoint(7)]) == {world.CALL}
    assert await world.counts(world.CALL) == {"calls": 0, "labels": 0, "evolutions": 0, "escalations": 0}
    assert await world.audited() == [("call.withdrawn", world.CALL)]


async def test_a_withdrawal_after_the_end_deletes_what_the_end_left(world: Any) -> None:
    await world.store.save([world.checkpoint(7, closed=True)])
    await world.record([world.label("w1")], [world.escalation("e1")])
    await world.send("e1")

    await world.store.withdraw(world.CALL, partition=3, next_offset=9, at=world.AT)

    assert await world.counts(world.CALL) == {"calls": 0, "labels": 0, "evolutions": 0, "escalations": 0}
    assert [escalation.retracted for escalation in await world.queued()] == [True]
