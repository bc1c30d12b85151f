"""Escalations reach the relay's sender at least once and in order per call, of PostgreSQL and of its twin alike."""
# ruff: noqa: ANN401 - what a test asks of the two worlds is its type

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from streams.adapters.memory_outcomes import MemoryOutcomes
from streams.domain.records import Escalation
from streams.ports import Outbox
from streams.store.outbox import PostgresOutbox


class BrokenError(Exception):
    """The sender fell over."""


@dataclass
class Sent:
    """A sender that remembers, and may be held up or broken."""

    ids: list[str] = field(default_factory=list)
    broken: bool = False
    go: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, escalations: Sequence[Escalation]) -> None:
        self.ids += [escalation.id for escalation in escalations]
        self.reached.set()
        if self.broken:
            raise BrokenError
        await self.go.wait()


@pytest.fixture
def sent() -> Sent:
    ready = Sent()
    ready.go.set()
    return ready


@pytest.fixture
async def outbox(world: Any) -> Outbox:
    await world.store.save([world.checkpoint(7), world.checkpoint(7, world.OTHER)])
    return of(world)


def of(world: Any) -> Outbox:
    if hasattr(world, "database"):
        return PostgresOutbox(world.database, lambda: world.AT)
    return MemoryOutcomes(world.tables, {}, lambda: world.AT)


async def test_what_is_queued_is_sent_once_and_complete(world: Any, outbox: Outbox, sent: Sent) -> None:
    got: list[Escalation] = []

    async def keep(escalations: Sequence[Escalation]) -> None:
        got.extend(escalations)

    await world.record([], [world.escalation("e1"), world.escalation("e2", world.OTHER)])
    assert await outbox.deliver(keep, limit=10) == 2
    assert await outbox.deliver(keep, limit=10) == 0
    assert got == [world.escalation("e1"), world.escalation("e2", world.OTHER)]
    assert await world.queued() == []


async def test_one_call_goes_out_in_order_one_at_a_time_beside_the_others(
    world: Any, outbox: Outbox, sent: Sent
) -> None:
    await world.record(
        [],
        [world.escalation("e1"), world.escalation("e2"), world.escalation("o1", world.OTHER), world.escalation("e3")],
    )
    assert [await outbox.deliver(sent, limit=10) for _ in range(4)] == [2, 1, 1, 0]
    assert sent.ids == ["e1", "o1", "e2", "e3"]


async def test_no_more_than_asked_for_are_taken_oldest_first(world: Any, outbox: Outbox, sent: Sent) -> None:
    await world.record([], [world.escalation("e1"), world.escalation("o1", world.OTHER)])
    assert await outbox.deliver(sent, limit=1) == 1
    assert sent.ids == ["e1"]


async def test_what_could_not_be_sent_is_sent_by_the_next(world: Any, outbox: Outbox, sent: Sent) -> None:
    await world.record([], [world.escalation("e1"), world.escalation("e2")])
    with pytest.raises(BrokenError):
        await outbox.deliver(Sent(broken=True), limit=10)
    assert [await of(world).deliver(sent, limit=10) for _ in range(3)] == [1, 1, 0]
    assert sent.ids == ["e1", "e2"]


async def test_a_withdrawal_after_a_try_to_send_retracts_what_may_be_out(
    world: Any, outbox: Outbox, sent: Sent
) -> None:
    await world.record([], [world.escalation("e1"), world.escalation("e2")])
    with pytest.raises(BrokenError):
        await outbox.deliver(Sent(broken=True), limit=1)
    await world.store.withdraw(world.CALL, partition=3, next_offset=9, at=world.AT)

    [queued] = await world.queued()
    assert (queued.id, queued.retracted) == ("e1", True)
    assert await outbox.deliver(sent, limit=10) == 1


async def test_a_second_relay_neither_repeats_nor_overtakes_the_first(postgres_world: Any) -> None:
    world = postgres_world
    await world.store.save([world.checkpoint(7), world.checkpoint(7, world.OTHER)])
    await world.record([], [world.escalation("e1"), world.escalation("e2"), world.escalation("o1", world.OTHER)])
    first, second = Sent(), Sent()
    second.go.set()
    relaying = asyncio.create_task(of(world).deliver(first, limit=1))
    await first.reached.wait()  # holds e1

    assert [await of(world).deliver(second, limit=10) for _ in range(2)] == [1, 0]
    assert second.ids == ["o1"]

    first.go.set()
    assert await relaying == 1
    assert await of(world).deliver(second, limit=10) == 1
    assert (first.ids, second.ids) == (["e1"], ["o1", "e2"])


async def test_a_withdrawal_waits_for_the_relay_and_retracts_what_it_sent(postgres_world: Any) -> None:
    world = postgres_world
    await world.store.save([world.checkpoint(7)])
    await world.record([], [world.escalation("e1"), world.escalation("e2")])
    held = Sent()
    relaying = asyncio.create_task(of(world).deliver(held, limit=1))
    await held.reached.wait()
    withdrawing = asyncio.create_task(world.store.withdraw(world.CALL, partition=3, next_offset=9, at=world.AT))
    await asyncio.sleep(0.1)
    assert not withdrawing.done()

    held.go.set()
    assert await relaying == 1
    await withdrawing
    assert [(queued.id, queued.retracted) for queued in await world.queued()] == [("e1", True)]


async def test_of_a_retraction_nothing_stays_once_it_is_sent(world: Any, outbox: Outbox, sent: Sent) -> None:
    await world.record([], [world.escalation("e1")])
    assert await outbox.deliver(sent, limit=10) == 1
    await world.store.withdraw(world.CALL, partition=3, next_offset=9, at=world.AT)
    assert await outbox.deliver(sent, limit=10) == 1
    assert sent.ids == ["e1", "e1"]
    assert await outbox.deliver(sent, limit=10) == 0
    assert await world.outbox_of(world.CALL) == 0
