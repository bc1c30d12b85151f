"""What keeps the tables in order: attempts, retention, status."""
# ruff: noqa: ANN401 - what a test asks of the two worlds is its type

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from streams.adapters.memory_attempts import MemoryAttempts
from streams.store import tables
from streams.store.attempts import PostgresAttempts
from streams.store.retention import ATTEMPT, SENT, TOMBSTONE, prune
from streams.store.status import store_status

KEPT = timedelta(days=30)


@pytest.fixture(params=["memory", "postgres"])
def attempts(request: pytest.FixtureRequest) -> MemoryAttempts | PostgresAttempts:
    if request.param == "memory":
        return MemoryAttempts()
    return PostgresAttempts(request.getfixturevalue("database"))


async def test_attempts_are_counted_by_record(attempts: Any) -> None:
    assert [await attempts.begin("calls.v1", 0, 7) for _ in range(3)] == [1, 2, 3]
    assert await attempts.begin("calls.v1", 0, 6) == 1
    assert await attempts.begin("calls.v1", 1, 7) == 1
    assert await attempts.begin("windows.v1", 0, 7) == 1


async def test_what_was_begun_and_is_not_done_is_on_record(attempts: Any) -> None:
    for offset in (6, 7, 8):
        await attempts.begin("calls.v1", 0, offset)
    await attempts.begin("calls.v1", 1, 6)
    await attempts.done("calls.v1", 0, {6, 8, 99})

    assert await attempts.pending("calls.v1", 0) == {7}
    assert await attempts.pending("calls.v1", 1) == {6}
    assert await attempts.pending("windows.v1", 0) == frozenset()


async def test_only_what_is_past_its_time_is_pruned(postgres_world: Any) -> None:
    world, now = postgres_world, datetime.now(UTC)
    old, young = timedelta(seconds=1), -timedelta(minutes=1)
    closed = [world.checkpoint(7, f"{number:064x}", closed=True) for number in range(1002)]
    await world.store.save([*closed, world.checkpoint(7)])
    await world._rows(delete(tables.calls).where(tables.calls.c.call != world.CALL).returning(tables.calls.c.call))
    await world._rows(_aged(tables.call_state, "saved_at", now - TOMBSTONE - old))
    await world.store.save([world.checkpoint(9, world.OTHER, closed=True)])
    await world.record([], [world.escalation("e1"), world.escalation("e2"), world.escalation("e3")])
    await world._mark("e1", sent_at=now - SENT - old)
    await world._mark("e2", sent_at=now - SENT - young)
    tried = [{"topic": "t", "partition": 0, "offset": n, "count": 1} for n in (1, 2)]
    times = [now - ATTEMPT - old, now - ATTEMPT - young]
    for row, at in zip(tried, times, strict=True):
        await world._rows(insert(tables.attempts).values(tried_at=at, **row).returning(tables.attempts.c.offset))

    assert await prune(world.database, KEPT) == {"calls": 0, "call_state": 1002, "outbox": 1, "attempts": 1}

    assert (await world.store.load([world.CALL, world.OTHER])).keys() == {world.CALL, world.OTHER}
    left = await world._rows(select(tables.outbox.c.escalation_id).order_by("id"))
    assert [row.escalation_id for row in left] == ["e2", "e3"]
    assert set((await prune(world.database, KEPT)).values()) == {0}


def _aged(table: Any, column: str, at: datetime) -> Any:
    return update(table).values({column: at}).returning(table.c.call)


async def test_a_call_keeps_its_tombstone_as_long_as_its_row_so_that_its_id_never_opens_again(
    postgres_world: Any,
) -> None:
    world = postgres_world
    await world.store.save([world.checkpoint(7, closed=True)])
    await world._rows(_aged(tables.call_state, "saved_at", datetime.now(UTC) - 10 * TOMBSTONE))
    await prune(world.database, KEPT)

    assert (await world.store.load([world.CALL]))[world.CALL].closed
    assert await world.call_row(world.CALL) is not None


@pytest.mark.parametrize("closed", [True, False])
async def test_nothing_is_left_of_a_call_that_has_stood_still_for_the_time_that_calls_are_kept(
    postgres_world: Any, closed: bool
) -> None:
    world, now = postgres_world, datetime.now(UTC)
    await world.store.save([world.checkpoint(7, closed=closed), world.checkpoint(7, world.OTHER, closed=closed)])
    for name, number in ((world.CALL, "1"), (world.OTHER, "2")):
        await world.record([world.label("w" + number, name)], [world.escalation("e" + number, name)])
    await world._rows(_aged(tables.calls, "started_at", now - KEPT - timedelta(hours=1)))
    old = _aged(tables.call_state, "saved_at", now - KEPT - timedelta(seconds=1))
    await world._rows(old.where(tables.call_state.c.call == world.CALL))

    assert await prune(world.database, KEPT) == {"calls": 1, "call_state": 1, "outbox": 0, "attempts": 0}

    assert set((await world.counts(world.CALL)).values()) == {0}
    assert await world.outbox_of(world.CALL) == 0
    assert set((await world.counts(world.OTHER)).values()) == {1}
    assert await world.outbox_of(world.OTHER) == 1
    assert (await world.store.load([world.CALL, world.OTHER])).keys() == {world.OTHER}
    [row] = await world._rows(select(tables.audit))
    assert (row.action, row.actor, row.call, row.detail) == ("calls.expired", "retention", None, {"calls": 1})


async def test_many_old_calls_go_in_batches_each_with_its_row_in_the_trail(postgres_world: Any) -> None:
    world, old = postgres_world, datetime.now(UTC) - 2 * KEPT
    await world.store.save([world.checkpoint(7, f"{number:064x}", closed=True) for number in range(101)])
    await world._rows(_aged(tables.calls, "started_at", old))
    await world._rows(_aged(tables.call_state, "saved_at", old))

    assert (await prune(world.database, KEPT))["calls"] == 101
    assert [row.detail for row in await world._rows(select(tables.audit).order_by("id"))] == [
        {"calls": 100},
        {"calls": 1},
    ]


async def test_a_sent_escalation_whose_row_was_pruned_is_still_retracted(postgres_world: Any) -> None:
    world = postgres_world
    await world.store.save([world.checkpoint(7)])
    await world.record([], [world.escalation("e1")])
    await world._mark("e1", sent_at=datetime.now(UTC) - 2 * SENT)
    await prune(world.database, KEPT)
    await world.store.withdraw(world.CALL, partition=3, next_offset=9, at=world.AT)

    assert [(each.id, each.retracted) for each in await world.queued()] == [("e1", True)]


async def test_an_escalation_that_may_be_out_is_retracted(postgres_world: Any) -> None:
    world = postgres_world
    await world.store.save([world.checkpoint(7)])
    await world.record([], [world.escalation("e1")])
    await world.try_to_send("e1")
    await world.store.withdraw(world.CALL, partition=3, next_offset=9, at=world.AT)

    assert [(each.id, each.retracted) for each in await world.queued()] == [("e1", True)]


async def test_status_of_an_empty_store(database: Any) -> None:
    status = await store_status(database)

    assert (status.calls, status.open_calls, status.tombstones, status.unsent) == (0, 0, 0, 0)
    assert status.labels == {"labelled": 0, "abstained": 0, "failed": 0}
    assert status.oldest_checkpoint_at is status.oldest_unsent_at is None
    assert status.oldest_open_turn_at is None


async def test_status_counts_what_is_there(postgres_world: Any) -> None:
    world = postgres_world
    await world.store.save([world.checkpoint(7), world.checkpoint(9, world.OTHER, closed=True)])
    await world.record([world.label("w1"), world.label("w2")], [world.escalation("e1"), world.escalation("e2")])
    await world.send("e1")

    status = await store_status(world.database)

    assert (status.calls, status.open_calls, status.tombstones) == (2, 1, 1)
    assert (status.labels["labelled"], status.escalations, status.unsent) == (2, 2, 1)
    assert status.oldest_checkpoint_at is not None
    assert status.last_checkpoint_at == {3: status.oldest_checkpoint_at}
    assert status.oldest_open_turn_at is None
    assert status.oldest_unsent_at is not None


async def test_status_tells_when_the_oldest_open_turn_began(postgres_world: Any) -> None:
    world, third = postgres_world, "ef" * 32
    later = world.AT + timedelta(seconds=3)
    saved = [world.checkpoint(7), world.checkpoint(7, world.OTHER, turn_at=later), world.checkpoint(7, third)]
    await world.store.save(saved)
    assert (await store_status(world.database)).oldest_open_turn_at == later
    await world.store.save([world.checkpoint(8, third, turn_at=world.AT)])
    assert (await store_status(world.database)).oldest_open_turn_at == world.AT
    await world.store.withdraw(third, partition=3, next_offset=9, at=world.AT)
    await world.store.save([world.checkpoint(8, world.OTHER)])
    assert (await store_status(world.database)).oldest_open_turn_at is None
