"""A stage whose process can die at a record: the next processes find the culprit, and lose nothing else."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from streams.adapters.memory_attempts import MemoryAttempts
from streams.adapters.memory_topics import Kept, MemoryDeadLetters
from streams.domain.deadletters import Reason
from streams.metrics import Metrics
from streams.ports import Batch, Fetched
from streams.stages import careful
from streams.stages.careful import Careful

LOG = [Kept("t", 0, offset, 0, b"k", b"%d" % offset) for offset in range(40)]

SEEN_AT = datetime(2026, 11, 23, tzinfo=UTC)  #: the partition's end


class DiedError(BaseException):
    """Stands for the end of the process."""


@dataclass
class Machine:
    """A stage that holds `lag` records back, its process, and the log that it reads; all but `handled` dies with it."""

    deadly: Collection[int] = ()
    lag: int = 0
    needed: Callable[[Fetched], bool] = lambda _: False
    waiting: bool = False
    attempts: MemoryAttempts = field(default_factory=MemoryAttempts)
    letters: MemoryDeadLetters = field(default_factory=MemoryDeadLetters)
    handled: set[int] = field(default_factory=set)
    sizes: list[int] = field(default_factory=list)
    durable: int | None = None
    committed: int = 0
    deaths: int = 0
    now: float = 0.0

    async def handle(self, batch: Batch) -> int | None:
        offsets = [record.offset for record in batch.records]
        self.sizes.append(len(offsets))
        if not set(offsets).isdisjoint(self.deadly):
            raise DiedError
        self.handled |= set(offsets)
        if offsets:
            self.durable = max(self.committed, offsets[-1] + 1 - self.lag)
        return self.durable

    def lost(self, partitions: Collection[int]) -> None:
        """Nothing is kept."""

    def start(self) -> Careful:
        self.durable = None
        metrics = Metrics(CollectorRegistry())
        return Careful(
            self,
            self.attempts,
            self.letters,
            metrics,
            name=lambda _: "c" * 64,
            waiting=lambda: self.waiting,
            needed=self.needed,
            clock=lambda: self.now,
        )

    async def run(self, sizes: list[int], *, most: int = 60) -> None:
        """Work the log off, started again after each death (`most` times); a batch takes a second."""
        while self.deaths < most:
            try:
                await self._live(sizes)
            except DiedError:
                self.deaths += 1
            else:
                return

    async def _live(self, sizes: list[int]) -> None:
        stage, at, turn = self.start(), self.committed, 0
        while at < len(LOG):
            size = sizes[turn % len(sizes)]
            durable = await stage.handle(Batch("t", 0, tuple(LOG[at : at + size])))
            at, turn, self.now = at + size, turn + 1, self.now + 1
            self.committed = self.committed if durable is None else durable
        assert (await stage.handle(Batch("t", 0, (), caught_up=SEEN_AT)) or 0) >= self.committed

    def dead(self) -> list[int]:
        assert {letter.reason for letter in self.letters.letters} <= {Reason.KILLED_WORKER}
        assert {letter.call for letter in self.letters.letters} <= {"c" * 64}
        return [letter.offset for letter in self.letters.letters]


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(0, 39), max_size=3), st.lists(st.integers(1, 20), min_size=1, max_size=4), st.integers(0, 9))
def test_the_records_that_kill_are_put_on_record_and_all_others_are_handled(
    deadly: set[int], sizes: list[int], lag: int
) -> None:
    machine = Machine(deadly, lag)
    asyncio.run(machine.run(sizes))
    assert sorted(set(machine.dead())) == sorted(deadly)
    assert machine.handled == set(range(40)) - deadly
    assert machine.committed >= 40 - lag - len(deadly)
    known = {offset for _, _, offset in machine.attempts.counts}
    assert known == {offset for offset in deadly if offset >= machine.committed}


async def test_one_culprit_costs_four_deaths() -> None:
    machine = Machine({17})
    await machine.run([10])
    assert (machine.dead(), machine.deaths) == ([17], 4)


async def test_nothing_is_put_on_record_once_a_partition_gets_on() -> None:
    machine = Machine()
    await machine.run([2])
    assert machine.sizes == [*[2] * 20, 0]
    assert machine.attempts.counts == {}
    stage = machine.start()
    await stage.handle(Batch("t", 0, tuple(LOG[:2])))
    machine.now += careful.SETTLED_S
    machine.deadly = {2}
    with pytest.raises(DiedError):
        await stage.handle(Batch("t", 0, tuple(LOG[2:4])))
    assert machine.attempts.counts == {}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 60), max_size=12), st.lists(st.integers(1, 20), min_size=1, max_size=4))
def test_a_process_killed_at_different_places_loses_no_record(kills: list[int], sizes: list[int]) -> None:
    """Each kill ends the process at its n-th call of the stage; no two in a row hit the same record alone."""
    machine = Machine()
    seen: list[int] = []
    handle = machine.handle

    async def handle_or_die(batch: Batch) -> int | None:
        if kills and batch.records:
            kills[0] -= 1
            alone = batch.records[0].offset
            if kills[0] < 0 and (len(batch.records) > 1 or seen.count(alone) < 2):
                kills.pop(0)
                seen.append(alone)
                raise DiedError
        return await handle(batch)

    machine.handle = handle_or_die  # type: ignore[method-assign]  # an outside hand
    asyncio.run(machine.run(sizes))
    assert machine.dead() == []
    assert machine.handled == set(range(40))


async def test_a_withdrawal_is_never_passed_over() -> None:
    machine = Machine({17}, needed=lambda record: record.offset == 17)
    await machine.run([10], most=12)
    assert machine.dead() == []
    assert machine.committed <= 17


class Stuck(Machine):
    """A stage that begins with a record and never ends; `at` counts how often."""

    at: int = 0

    async def handle(self, batch: Batch) -> int | None:
        if not batch.records:
            return await super().handle(batch)
        self.at += 1
        await asyncio.Event().wait()
        return None

    async def killed(self) -> None:
        """A process that begins with the first record, has time to look whether it waits, and is killed."""
        handling = asyncio.create_task(self.start().handle(Batch("t", 0, (LOG[0],))))
        for _ in range(100):
            await asyncio.sleep(0)
        handling.cancel()


async def test_a_record_that_waited_for_something_is_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(careful, "PATIENCE_S", 0.0)
    machine = Stuck(waiting=True)
    for count in range(1, 10):
        await machine.killed()
        assert (machine.at, machine.attempts.counts) == (count, {})
    assert machine.dead() == []


async def test_a_record_at_which_the_process_hangs_is_found_however_long_it_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(careful, "PATIENCE_S", 0.0)
    machine = Stuck()
    for _ in range(careful.BEGUN + 1):
        await machine.killed()
    assert (machine.at, machine.dead()) == (careful.BEGUN, [0])


async def test_a_record_that_hangs_at_first_and_then_waits_is_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(careful, "PATIENCE_S", 0.0)
    machine = Stuck()
    handling = asyncio.create_task(machine.start().handle(Batch("t", 0, (LOG[0],))))
    while not machine.at:
        await asyncio.sleep(0)
    assert machine.attempts.counts == {("t", 0, 0): 1}
    machine.waiting = True
    async with asyncio.timeout(5):
        while machine.attempts.counts:
            await asyncio.sleep(0)
    handling.cancel()


async def test_a_tick_before_the_first_record_is_handed_on() -> None:
    machine = Machine()
    assert await machine.start().handle(Batch("t", 0, (), caught_up=SEEN_AT)) is None
    assert machine.sizes == [0]


async def test_a_partition_that_comes_back_is_watched_again() -> None:
    machine = Machine()
    stage = machine.start()
    await stage.handle(Batch("t", 0, tuple(LOG[:2])))
    machine.now += careful.SETTLED_S
    stage.lost({0})
    machine.deadly = {2}
    with pytest.raises(DiedError):
        await stage.handle(Batch("t", 0, tuple(LOG[2:4])))
    assert machine.attempts.counts == {("t", 0, 2): 1}
