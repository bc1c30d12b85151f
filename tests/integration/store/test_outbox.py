"""Escalations reach the relay's sender at least once and in order per call, of PostgreSQL and of its twin alike."""
# ruff: noqa: ANN401 - what a test asks of the two worlds is its type

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest
from sqlalchemy import delete

from streams.adapters.memory_outcomes import MemoryOutcomes
from streams.domain.records import Escalation
from streams.ports import Outbox
from streams.store import tables
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


def of(world: Any) -> Any:
    if hasattr(world, "database"):
        return PostgresOutbox(world.database, lambda: world.AT)
    return MemoryOutcomes(world.tables, {}, {}, lambda: world.AT)


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


async def test_a_withdrawal_does_not_wait_for_a_relay_that_is_sending_and_its_retraction_goes_out_afterwards(
    world: Any, outbox: Outbox, sent: Sent
) -> None:
    await world.record([], [world.escalation("e1"), world.escalation("e2")])
    held = Sent()
    relaying = asyncio.create_task(outbox.deliver(held, limit=1))
    await held.reached.wait()
    async with asyncio.timeout(1):
        await world.store.withdraw(world.CALL, partition=3, next_offset=9, at=world.AT)
    assert [(queued.id, queued.retracted) for queued in await world.queued()] == [("e1", True)]
    assert await of(world).deliver(sent, limit=10) == 0  # not before the send has ended

    held.go.set()
    assert await relaying == 1
    assert await of(world).deliver(sent, limit=10) == 1
    assert await world.outbox_of(world.CALL) == 0


@dataclass
class Wire:
    """A relay's way to the topic. What is sent while it is cut arrives when it heals, and nothing calls it back."""

    topic: list[tuple[str, str, bool]]
    healed: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    random: Random | None = None

    async def __call__(self, escalations: Sequence[Escalation]) -> None:
        self.reached.set()
        await (asyncio.sleep(self.random.choice((0, 0.02, 0.3))) if self.random else self.healed.wait())
        self.topic += [(escalation.call, escalation.id, escalation.retracted) for escalation in escalations]


def stalling(world: Any) -> PostgresOutbox:
    """A relay that outlasts its lease, as a process that is frozen does."""
    return PostgresOutbox(world.database, lambda: world.AT, lease_s=0.05, send_s=60)


async def test_the_last_word_on_a_withdrawn_escalation_is_its_retraction_however_long_a_relay_was_stalled(
    postgres_world: Any,
) -> None:
    world, topic = postgres_world, list[tuple[str, str, bool]]()
    await world.store.save([world.checkpoint(7)])
    await world.record([], [world.escalation("e1")])
    cut, sound = Wire(topic), Wire(topic)
    sound.healed.set()
    relaying = asyncio.create_task(stalling(world).deliver(cut, limit=1))
    await cut.reached.wait()
    async with asyncio.timeout(1):
        await world.store.withdraw(world.CALL, partition=3, next_offset=9, at=world.AT)
    await asyncio.sleep(0.1)
    assert await of(world).deliver(sound, limit=10) == 1

    cut.healed.set()
    assert await relaying == 1
    assert await of(world).deliver(sound, limit=10) == 1
    assert [retracted for _, _, retracted in topic] == [True, False, True]
    assert await world.outbox_of(world.CALL) == 0


@pytest.mark.parametrize("seed", range(8))
async def test_whenever_a_withdrawal_comes_between_relays_that_stall_the_last_word_is_a_retraction(
    postgres_world: Any, seed: int
) -> None:
    world, topic, random = postgres_world, list[tuple[str, str, bool]](), Random(seed)  # noqa: S311 - repeatable
    calls = [f"{number:064x}" for number in range(3)]
    await world.store.save([world.checkpoint(7, call) for call in calls])
    await world.record([], [world.escalation(f"{call[-1]}-{number}", call) for number in range(3) for call in calls])

    async def relay() -> None:
        while await world.queued():
            await stalling(world).deliver(Wire(topic, random=random), limit=2)
            await asyncio.sleep(random.uniform(0, 0.02))

    async def withdraw(call: str) -> None:
        await asyncio.sleep(random.uniform(0, 0.5))
        await world.store.withdraw(call, partition=3, next_offset=9, at=world.AT)

    await asyncio.gather(relay(), relay(), relay(), *(withdraw(call) for call in calls))
    await relay()  # what was withdrawn when the others were done
    last = {id_: retracted for _, id_, retracted in topic}
    assert last
    assert all(last.values())
    assert [await world.outbox_of(call) for call in calls] == [0, 0, 0]


async def test_relays_at_work_together_send_everything_once_and_in_order_per_call(postgres_world: Any) -> None:
    world, topic, random = postgres_world, list[tuple[str, str, bool]](), Random(1)  # noqa: S311 - repeatable
    calls = [f"{number:064x}" for number in range(4)]
    await world.store.save([world.checkpoint(7, call) for call in calls])
    await world.record([], [world.escalation(f"{call[-1]}-{number}", call) for number in range(5) for call in calls])

    async def relay() -> None:
        while await world.queued():
            await of(world).deliver(Wire(topic, random=random), limit=2)

    await asyncio.gather(relay(), relay(), relay())
    for call in calls:
        assert [id_ for told, id_, _ in topic if told == call] == [f"{call[-1]}-{number}" for number in range(5)]


async def test_a_relay_that_does_not_come_back_is_replaced_once_its_lease_has_ended(
    postgres_world: Any, sent: Sent
) -> None:
    world = postgres_world
    await world.store.save([world.checkpoint(7)])
    await world.record([], [world.escalation("e1"), world.escalation("e2")])
    gone = Sent()
    relaying = asyncio.create_task(replace(stalling(world), lease_s=0.5).deliver(gone, limit=1))
    await gone.reached.wait()
    assert await of(world).deliver(sent, limit=10) == 0
    await asyncio.sleep(0.6)
    assert [await of(world).deliver(sent, limit=10) for _ in range(3)] == [1, 1, 0]
    assert sent.ids == ["e1", "e2"]

    await world._rows(delete(tables.outbox).returning(tables.outbox.c.id))  # as retention does after an hour
    gone.go.set()
    assert await relaying == 1
    assert await world.queued() == []  # its escalation stands: there is nothing to retract


async def test_a_relay_that_comes_back_late_does_not_let_go_of_what_another_has_in_hand(
    postgres_world: Any, sent: Sent
) -> None:
    world = postgres_world
    await world.store.save([world.checkpoint(7)])
    await world.record([], [world.escalation("e1")])
    late, next_one = Sent(), Sent()
    stalled = asyncio.create_task(stalling(world).deliver(late, limit=1))
    await late.reached.wait()
    await asyncio.sleep(0.1)
    relaying = asyncio.create_task(of(world).deliver(next_one, limit=1))
    await next_one.reached.wait()
    stalled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stalled
    assert await of(world).deliver(sent, limit=1) == 0

    next_one.go.set()
    assert await relaying == 1


async def test_a_send_that_takes_too_long_is_given_up_and_made_again(postgres_world: Any, sent: Sent) -> None:
    world = postgres_world
    await world.store.save([world.checkpoint(7)])
    await world.record([], [world.escalation("e1")])
    silent = Sent()
    assert await replace(of(world), send_s=0.2).deliver(silent, limit=10) == 0
    assert silent.ids == ["e1"]
    assert await replace(of(world), send_s=0).deliver(silent, limit=10) == 0
    assert silent.ids == ["e1"]  # where it is too late already, nothing is sent
    assert await of(world).deliver(sent, limit=10) == 1


async def test_of_a_retraction_nothing_stays_once_it_is_sent(world: Any, outbox: Outbox, sent: Sent) -> None:
    await world.record([], [world.escalation("e1")])
    assert await outbox.deliver(sent, limit=10) == 1
    await world.store.withdraw(world.CALL, partition=3, next_offset=9, at=world.AT)
    assert await outbox.deliver(sent, limit=10) == 1
    assert sent.ids == ["e1", "e1"]
    assert await outbox.deliver(sent, limit=10) == 0
    assert await world.outbox_of(world.CALL) == 0
