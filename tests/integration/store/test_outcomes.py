"""What label and escalate may rely on, of PostgreSQL and of its twin alike."""
# ruff: noqa: ANN401 - what a test asks of the two worlds is its type

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
from sqlalchemy import delete, func, select, text

from streams.adapters.memory_outcomes import MemoryOutcomes
from streams.adapters.memory_tables import MemoryTables
from streams.domain import rules
from streams.domain.privacy import window_id
from streams.domain.records import Escalation, Label, Outcome, Purpose, Role, Window
from streams.domain.rules import Condition, Rule, Severity
from streams.ports import OutcomeStore
from streams.store import outcomes, tables
from streams.store.database import StoreError
from streams.store.outbox import PostgresOutbox
from streams.store.outcomes import Outcomes

HIT = {"mood.full": {"bad": 0.8, "good": 0.2}}
CALM = {"mood.full": {"bad": 0.1 + 0.2, "good": 0.7 - 1e-17}}  # floats that only an exact store gives back
RULE = Rule("bad", Severity.HIGH, (Condition("mood.full", any_of=("bad",)),), hits=2, of=3, cool_down_ms=20_000)
RULES = {"demo": (RULE,)}


@dataclass
class Clock:
    now: datetime = datetime(2026, 11, 3, 12, 0, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Effects:
    """An outcome store in its world."""

    world: Any
    clock: Clock = field(default_factory=Clock)

    def store(self, of: Mapping[str, Sequence[Rule]] = RULES) -> OutcomeStore:
        if hasattr(self.world, "database"):
            return Outcomes(self.world.database, of, {}, self.clock)
        return MemoryOutcomes(self.world.tables, of, {}, self.clock)

    async def open(self, name: str | None = None, **changed: Any) -> None:
        name = name or self.world.CALL
        await self.world.store.save([self.world.checkpoint(7, name, **changed)])

    def label(self, number: int, mark: str = "H", name: str | None = None) -> Label:
        """The window `number`, 5 s long: `H` a hit, `.` calm, `a` abstained."""
        call, start_ms = name or self.world.CALL, number * 5_000
        return Label(
            window_id=window_id(call, Role.CUSTOMER, start_ms),
            call=call,
            use_case="demo",
            role=Role.CUSTOMER,
            start_ms=start_ms,
            end_ms=start_ms + 5_000,
            consent_seq=0,
            spoken_at=self.world.AT + timedelta(milliseconds=start_ms + 5_000),
            outcome=Outcome.ABSTAINED if mark == "a" else Outcome.LABELLED,
            bundle="00" * 32,
            heads={"H": HIT, ".": CALM}.get(mark, {}),
            reason="silent" if mark == "a" else None,
        )

    def call(self, timeline: str, name: str | None = None) -> list[Label]:
        return [self.label(number, mark, name) for number, mark in enumerate(timeline)]

    async def labels(self, name: str | None = None) -> list[Label]:
        name = name or self.world.CALL
        if not hasattr(self.world, "database"):
            found = [label for label in self.world.tables.labels.values() if label.call == name]
        else:
            columns = [tables.labels.c[part] for part in Label.__dataclass_fields__]
            rows = await self.world._rows(select(*columns).where(tables.labels.c.call == name))
            found = [msgspec.convert(row, Label, from_attributes=True) for row in rows]
        return sorted(found, key=lambda label: label.start_ms)


@pytest.fixture
def effects(world: Any) -> Effects:
    return Effects(world)


def window(label: Label) -> Window:
    shared = {part: getattr(label, part) for part in ("call", "use_case", "role", "start_ms", "end_ms", "consent_seq")}
    return Window(id=label.window_id, spoken_at=label.spoken_at, rate=8000, data=b"", **shared)


async def test_windows_are_open_under_the_consent_in_force_alone(effects: Effects) -> None:
    await effects.open(consent_seq=3)
    await effects.open(effects.world.OTHER, consent_seq=None)
    allowed = replace(effects.label(0), consent_seq=3)
    expires_at = effects.world.GRANT.expires_at
    asked = [
        allowed,
        effects.label(1),  # under another record
        replace(effects.label(2), consent_seq=3, spoken_at=expires_at),
        replace(effects.label(0, name=effects.world.OTHER), consent_seq=3),  # none in force
        replace(effects.label(0, name="ef" * 32), consent_seq=3),  # a call that nobody knows
    ]

    assert await effects.store().open_windows([window(label) for label in asked]) == {allowed.window_id}
    recorded = await effects.store().record(asked)

    assert recorded.written == {allowed.window_id}
    assert recorded.refused == {label.window_id for label in asked[1:]}
    assert await effects.labels() == [allowed]


async def test_a_consent_that_does_not_expire_allows_any_time(effects: Effects) -> None:
    grant = replace(effects.world.GRANT, expires_at=None)
    await effects.open(consents={Purpose.ALERTING: grant})
    late = replace(effects.label(0), spoken_at=effects.world.AT + timedelta(days=400))
    assert await effects.store().open_windows([window(late)]) == {late.window_id}


async def test_nothing_is_asked_of_nothing(effects: Effects) -> None:
    assert await effects.store().open_windows([]) == frozenset()
    assert (await effects.store().record([])).raised == ()


async def test_a_label_is_stored_exactly_and_the_first_writer_wins(effects: Effects) -> None:
    await effects.open()
    first = effects.call("Ha.")
    await effects.store().record(first)

    again = await effects.store().record([replace(label, heads=HIT, bundle="11" * 32) for label in first])

    assert (again.written, again.refused, again.raised) == (frozenset(), frozenset(), ())
    assert await effects.labels() == first


async def test_a_window_that_comes_twice_in_a_batch_is_stored_once(effects: Effects) -> None:
    await effects.open()
    label = effects.label(0)
    assert (await effects.store().record([label, replace(label, heads=CALM)])).written == {label.window_id}
    [stored] = await effects.labels()
    assert stored.heads == HIT


async def test_an_escalation_carries_what_the_call_knows_and_leaves_audit_and_outbox(effects: Effects) -> None:
    await effects.open()
    labels = effects.call("H.H")

    recorded = await effects.store().record(labels)

    [raised] = recorded.raised
    notice = effects.world.call().notice
    assert raised.window_ids == (labels[0].window_id, labels[2].window_id)
    assert (raised.reference, raised.consent) == ("crm-81", replace(effects.world.GRANT, notice=notice))
    assert (raised.raised_at, raised.late) == (effects.clock.now, False)
    assert await effects.world.queued() == [raised]
    assert await effects.world.audited() == [("call.escalated", None)]  # it outlives a withdrawal
    assert (await effects.world.counts(effects.world.CALL))["escalations"] == 1


async def test_the_trace_of_the_window_that_raised_an_escalation_is_around_its_sending(effects: Effects) -> None:
    world, seen = effects.world, list[Mapping[str, str]]()

    @contextmanager
    def tracing(traces: Mapping[str, str]) -> Iterator[None]:
        seen.append(traces)
        yield

    async def send(_: Sequence[Escalation]) -> None:
        assert seen

    stored, memory = hasattr(world, "database"), MemoryOutcomes
    made = partial(Outcomes, world.database) if stored else partial(memory, world.tables)
    traced = made(RULES, {}, effects.clock, trace_of="of {}".format)
    await effects.open()
    recorded = await traced.record(effects.call("H.H"))
    [raised] = recorded.raised
    outbox = PostgresOutbox(world.database, effects.clock) if stored else traced
    assert await replace(outbox, tracing=tracing).deliver(send, limit=1) == 1
    assert seen == [{raised.id: f"of {raised.window_ids[-1]}"}]


async def test_a_batch_that_comes_again_changes_nothing(effects: Effects) -> None:
    await effects.open()
    labels = effects.call("HH.HH")
    for batch in (labels[:2], labels[:4], labels, labels[2:]):
        await effects.store().record(batch)
    assert len(await effects.world.queued()) == 1
    assert len(await effects.world.audited()) == 1


async def test_the_episode_goes_on_over_batches_and_opens_again_after_the_cool_down(effects: Effects) -> None:
    await effects.open()
    for label in effects.call("HHH....HHH"):
        await effects.store().record([label])
    assert [escalation.to_ms for escalation in await effects.world.queued()] == [10_000, 45_000]


async def test_rows_that_come_late_raise_no_second_escalation_for_the_episode(effects: Effects) -> None:
    await effects.open()
    first, *rest = effects.call("HHH")
    await effects.store().record(rest)
    await effects.store().record([first])
    assert [escalation.to_ms for escalation in await effects.world.queued()] == [15_000]


async def test_an_escalation_long_after_the_speech_is_late(effects: Effects) -> None:
    await effects.open()
    effects.clock.now = effects.world.AT + timedelta(seconds=10 + 61)
    [raised] = (await effects.store().record(effects.call("HH"))).raised
    assert raised.late


async def test_labels_of_a_use_case_that_is_not_installed_are_stored_and_raise_nothing(effects: Effects) -> None:
    await effects.open()
    recorded = await effects.store({}).record(effects.call("HHH"))
    assert (len(recorded.written), recorded.raised) == (3, ())


async def test_after_a_withdrawal_nothing_is_written(effects: Effects) -> None:
    await effects.open()
    await effects.store().record(effects.call("HH"))
    await effects.world.store.withdraw(effects.world.CALL, partition=3, next_offset=9, at=effects.world.AT)

    recorded = await effects.store().record(effects.call("HHHHHHHH"))

    assert (recorded.written, recorded.raised) == (frozenset(), ())
    assert await effects.world.counts(effects.world.CALL) == {
        "calls": 0,
        "labels": 0,
        "evolutions": 0,
        "escalations": 0,
    }
    assert await effects.world.queued() == []


async def test_the_twin_answers_as_postgresql_does(postgres_world: Any, world_of_memory: Any) -> None:
    """Random calls, cut, shuffled and repeated at random, by one seed."""
    drawn = random.Random(7)  # noqa: S311 - a test's dice
    real, twin = Effects(postgres_world), Effects(world_of_memory)
    for number in range(15):
        name = f"{number:064x}"
        await real.open(name)
        await twin.open(name)
        labels = real.call("".join(drawn.choices("HH.a", k=20)), name)
        drawn.shuffle(labels)
        for _ in range(8):
            batch = drawn.sample(labels, k=drawn.randint(1, 8))
            assert await real.store().record(batch) == await twin.store().record(batch)
        assert await real.labels(name) == await twin.labels(name)
    assert await real.world.queued() == await twin.world.queued() != []


@pytest.fixture
def world_of_memory(postgres_world: Any) -> Any:
    from streams.adapters.memory_calls import MemoryCalls  # noqa: PLC0415 - its world is the conftest's

    inside = MemoryTables()
    memory = _Memory(inside, MemoryCalls(inside))
    memory.checkpoint, memory.CALL, memory.AT = postgres_world.checkpoint, postgres_world.CALL, postgres_world.AT
    return memory


@dataclass
class _Memory:
    tables: MemoryTables
    store: Any
    checkpoint: Any = None
    CALL: str = ""
    AT: Any = None

    async def queued(self) -> list[Escalation]:
        return [queued.escalation for queued in self.tables.outbox]


async def test_two_workers_on_one_call_see_each_others_rows(postgres_world: Any) -> None:
    """An evicted worker and its successor: each holds one of two hits, and one of them must raise."""
    effects = Effects(postgres_world)
    for number in range(20):
        name = f"{number:064x}"
        await effects.open(name)
        one, other = effects.call("HH", name)
        both = await asyncio.gather(effects.store().record([one]), effects.store().record([other]))
        assert sum(len(recorded.raised) for recorded in both) == 1


async def test_two_workers_with_the_same_calls_in_another_order_do_not_block_each_other(postgres_world: Any) -> None:
    effects = Effects(postgres_world)
    names = [f"{number:064x}" for number in range(12)]
    for name in names:
        await effects.open(name)
    labels = [label for name in names for label in effects.call("H.H", name)]
    both = await asyncio.gather(effects.store().record(labels), effects.store().record(labels[::-1]))
    assert sorted(len(recorded.raised) for recorded in both) == [0, 12]
    assert sorted(len(recorded.written) for recorded in both) == [0, 36]


async def test_a_withdrawal_under_way_is_waited_for_and_then_nothing_is_written(postgres_world: Any) -> None:
    effects = Effects(postgres_world)
    await effects.open()
    engine = postgres_world.database._engine
    async with engine.connect() as withdrawing:
        await withdrawing.execute(delete(tables.calls))
        writing = asyncio.create_task(effects.store().record(effects.call("HH")))
        await _until(engine, lambda waiting: waiting == 1)
        await withdrawing.commit()
    recorded = await writing
    assert len(recorded.refused) == 2
    assert await effects.labels() == []


async def _until(engine: Any, enough: Callable[[int], bool]) -> None:
    """Return once that many sessions wait for a lock."""
    asked = select(func.count()).select_from(text("pg_locks")).where(text("NOT granted"))
    async with engine.connect() as watching:
        while not enough((await watching.execute(asked)).scalar_one()):
            await asyncio.sleep(0.01)


async def test_rules_are_judged_on_the_rows_and_not_on_what_the_batch_says(effects: Effects) -> None:
    """A model roll-out in mid-replay changes the scores: what was stored first decides."""
    await effects.open()
    await effects.store().record([effects.label(0, ".")])
    recorded = await effects.store().record([effects.label(0, "H"), effects.label(1, "H")])
    assert recorded.raised == ()
    assert list(rules.episodes(RULE, await effects.labels())) == []


@pytest.mark.parametrize("seed", range(3))
async def test_a_long_call_raises_what_a_replay_of_all_of_it_would(
    effects: Effects, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(outcomes, "TAIL", 9)
    drawn = random.Random(seed)  # noqa: S311 - a seed makes a history that can be repeated
    twin = MemoryOutcomes(MemoryTables(calls={effects.world.CALL: effects.world.call()}), RULES, {}, effects.clock)
    store = effects.store()
    await effects.open()
    rows = effects.call("".join(drawn.choices("H.a", (2, 5, 1), k=60)))
    rows.insert(40, rows.pop(20))  # it comes late
    while rows:
        size = drawn.randint(1, 4)
        batch, rows = rows[:size], rows[size:]
        assert (await store.record(batch)).raised == (await twin.record(batch)).raised
    assert twin.tables.escalations


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
async def test_a_number_that_is_none_never_gets_into_a_row(postgres_world: Any, value: float) -> None:
    effects = Effects(postgres_world)
    await effects.open()
    poisoned = replace(effects.label(0), heads={head: dict.fromkeys(row, value) for head, row in HIT.items()})
    with pytest.raises(StoreError):
        await effects.store().record([poisoned])
    assert await effects.labels() == []
