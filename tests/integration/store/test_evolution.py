"""What a call's labels come to, beside them: of PostgreSQL and of its twin alike."""
# ruff: noqa: ANN401 - what a test asks of the two worlds is its type

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import delete, select, update

from streams.adapters.memory_outcomes import MemoryOutcomes
from streams.domain import evolution
from streams.domain.evolution import Evolution, Overall, State, Trend
from streams.domain.privacy import window_id
from streams.domain.records import Heads, Label, Outcome, Role
from streams.domain.schemes import EMODB, Scheme
from streams.ports import OutcomeStore
from streams.store import tables
from streams.store.outcomes import Outcomes
from streams.store.retention import prune

ANGRY = {
    "category.binary": {"emotional": 0.9, "neutral": 0.1},
    "valence.full": {"negative": 0.7, "neutral": 0.2, "positive": 0.1},
    "arousal.full": {"excited": 0.9, "neutral": 0.1},
}
CALM = {
    **ANGRY,
    "category.binary": {"emotional": 0.1, "neutral": 0.9},
    "valence.full": {"negative": 0.1, "neutral": 0.9},
}
HEADS: Mapping[str, Heads] = {"N": ANGRY, ".": CALM}
SCHEMES = {"demo": EMODB}


@dataclass
class Calls:
    """Calls of the demo use case in a world, and what is known of them there."""

    world: Any

    def store(self, schemes: Mapping[str, Scheme] = SCHEMES) -> OutcomeStore:
        if hasattr(self.world, "database"):
            return Outcomes(self.world.database, {"demo": ()}, schemes, lambda: datetime.now(UTC))
        return MemoryOutcomes(self.world.tables, {"demo": ()}, schemes, lambda: datetime.now(UTC))

    async def open(self, name: str | None = None) -> str:
        name = name or self.world.CALL
        await self.world.store.save([self.world.checkpoint(7, name)])
        return name

    def call(self, timeline: str, name: str | None = None) -> list[Label]:
        """A character is a 5 s window: `N` negative, `.` calm, `a` abstained."""
        return [self._label(number, mark, name or self.world.CALL) for number, mark in enumerate(timeline)]

    def _label(self, number: int, mark: str, name: str) -> Label:
        start_ms = number * 5_000
        return Label(
            window_id=window_id(name, Role.CUSTOMER, start_ms),
            call=name,
            use_case="demo",
            role=Role.CUSTOMER,
            start_ms=start_ms,
            end_ms=start_ms + 5_000,
            consent_seq=0,
            spoken_at=self.world.AT + timedelta(milliseconds=start_ms + 5_000),
            outcome=Outcome.LABELLED if mark in HEADS else Outcome.ABSTAINED,
            bundle="00" * 32,
            heads=HEADS.get(mark, {}),
            reason=None if mark in HEADS else "silent",
        )

    async def evolution(self, name: str | None = None) -> Evolution | None:
        name = name or self.world.CALL
        if not hasattr(self.world, "database"):
            found: Evolution | None = self.world.tables.evolutions.get(name)
            return found
        columns = [tables.evolutions.c[field.name] for field in fields(Evolution)]
        rows = await self.world._rows(select(*columns).where(tables.evolutions.c.call == name))
        return msgspec.convert(rows[0], Evolution, from_attributes=True) if rows else None


@pytest.fixture
def calls(world: Any) -> Calls:
    return Calls(world)


def folded(labels: list[Label]) -> Evolution:
    means = evolution.meaning(EMODB)
    assert means
    return evolution.evolution(labels, means)


async def test_a_calls_evolution_is_that_of_all_its_labels(calls: Calls) -> None:
    await calls.open()
    labels = calls.call("...aN.NNN")
    await calls.store().record(labels)

    found = await calls.evolution()

    assert found == folded(labels)
    assert found
    assert (found.windows, found.judged, found.strongest_ms) == (9, 8, 20_000)
    assert (found.overall, found.trend) == (Overall.EMOTIONAL, Trend.WORSE)


async def test_it_is_the_same_in_whatever_batches_and_order_labels_come_late_and_repeated_ones_included(
    calls: Calls,
) -> None:
    drawn = random.Random(3)  # noqa: S311 - a seed makes a history that can be repeated
    for number in range(8):
        name = await calls.open(f"{number:064x}")
        labels = calls.call("".join(drawn.choices("N.a", k=20)), name)
        batches = [drawn.sample(labels, k=drawn.randint(1, 6)) for _ in range(8)]
        for batch in batches:
            await calls.store().record(batch)
        stored = {label.window_id: label for batch in batches for label in batch}
        assert await calls.evolution(name) == folded(list(stored.values()))


async def test_a_batch_that_comes_again_leaves_the_evolution_as_it_was(calls: Calls) -> None:
    await calls.open()
    labels = calls.call("N.N.N")
    await calls.store().record(labels)
    before = await calls.evolution()
    await calls.store().record([*labels[2:], *labels])
    assert await calls.evolution() == before == folded(labels)


async def test_a_label_that_is_refused_is_in_no_evolution(calls: Calls) -> None:
    await calls.store().record(calls.call("NN"))
    assert await calls.evolution() is None


async def test_a_use_case_whose_scheme_does_not_tell_has_no_evolutions(calls: Calls) -> None:
    await calls.open()
    await calls.store({}).record(calls.call("NN"))
    assert await calls.evolution() is None


async def test_labels_from_before_there_were_evolutions_count_with_the_next_one(calls: Calls) -> None:
    await calls.open()
    *before, last = calls.call("NNN...")
    await calls.store({}).record(before)
    await calls.store().record([last])
    assert await calls.evolution() == folded([*before, last])


async def test_a_withdrawal_deletes_the_evolution_with_the_labels(calls: Calls) -> None:
    await calls.open()
    other = await calls.open(calls.world.OTHER)
    await calls.store().record([*calls.call("NN"), *calls.call("..", other)])

    await calls.world.store.withdraw(calls.world.CALL, partition=3, next_offset=9, at=calls.world.AT)
    await calls.store().record(calls.call("NNNN"))

    assert await calls.evolution() is None
    assert await calls.evolution(other) == folded(calls.call("..", other))


async def test_code_that_knows_no_evolutions_deletes_them_with_the_call(postgres_world: Any) -> None:
    calls = Calls(postgres_world)
    await calls.open()
    await calls.store().record(calls.call("NN"))
    await postgres_world._rows(delete(tables.calls).returning(tables.calls.c.call))
    assert await calls.evolution() is None


async def test_labels_written_by_code_that_knows_no_evolutions_are_caught_up_with(postgres_world: Any) -> None:
    calls = Calls(postgres_world)
    await calls.open()
    first, second, third = calls.call("N.N")
    for label, schemes in ((first, SCHEMES), (second, {}), (third, SCHEMES)):
        await calls.store(schemes).record([label])
    assert await calls.evolution() == folded([first, second, third])


async def test_the_fold_goes_on_from_its_row_and_reads_no_label_again(postgres_world: Any) -> None:
    calls = Calls(postgres_world)
    await calls.open()
    *before, last = calls.call("N.N")
    await calls.store().record(before)
    await postgres_world._rows(update(tables.labels).values(heads=CALM).returning(tables.labels.c.call))
    await calls.store().record([last])
    assert await calls.evolution() == folded([*before, last])


async def test_two_workers_on_one_call_leave_the_evolution_of_the_labels_of_both(postgres_world: Any) -> None:
    calls = Calls(postgres_world)
    for number in range(20):
        name = await calls.open(f"{number:064x}")
        one, other = calls.call("N.", name)
        await asyncio.gather(calls.store().record([one]), calls.store().record([other]))
        assert await calls.evolution(name) == folded([one, other])


async def test_an_evolution_is_kept_as_long_as_its_call(postgres_world: Any) -> None:
    calls = Calls(postgres_world)
    await calls.open()
    await calls.store().record(calls.call("NN"))
    kept = timedelta(days=30)
    await prune(postgres_world.database, kept)
    assert await calls.evolution()

    for table, column in ((tables.calls, "started_at"), (tables.call_state, "saved_at")):
        aged = update(table).values({column: datetime.now(UTC) - 2 * kept})
        await postgres_world._rows(aged.returning(table.c.call))
    await prune(postgres_world.database, kept)
    assert await calls.evolution() is None


async def test_what_is_kept_of_a_window_is_no_probability_and_no_word(postgres_world: Any) -> None:
    calls = Calls(postgres_world)
    await calls.open()
    await calls.store().record(calls.call("N.a"))
    [row] = await postgres_world._rows(select(tables.evolutions.c.readings))
    assert row.readings == [
        [0, 5_000, True, True, True, 630],
        [5_000, 10_000, True, False, False, 0],
        [10_000, 15_000, False, False, False, 0],
    ]
    assert len(msgspec.convert({"readings": row.readings}, State).readings) == 3
