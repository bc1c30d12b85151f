import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from streams.kafka import liveness
from streams.kafka.liveness import Liveness, Position, Signs, complaints, is_ready, moved
from streams.metrics import Metrics

FRESH = Signs(fetched_at=1000.0, looked_at=1000.0)


def at(seconds: float, **changes: object) -> tuple[Signs, float]:
    """Signs of a worker that looked and fetched just now, with changes, and the time."""
    return Signs(**{"fetched_at": seconds, "looked_at": seconds} | changes), seconds  # type: ignore[arg-type]


def test_a_worker_that_has_just_begun_is_live_and_ready() -> None:
    assert complaints(FRESH, 1000.0) == ()
    assert is_ready(FRESH, 1000.0)


def test_a_blocked_event_loop_is_not_live_whatever_the_worker_waits_for() -> None:
    signs, now = at(1000.0, looked_at=990.0, waiting=frozenset({"postgres"}))
    assert complaints(signs, now) == ("the event loop is blocked",)


def test_a_minute_without_a_fetch_is_not_live() -> None:
    signs, now = at(1000.0, fetched_at=940.0)
    assert complaints(signs, now) == ("nothing was fetched for a minute",)


@pytest.mark.parametrize("hours", [0, 1, 100])
def test_waiting_for_a_dependency_is_live_without_end_and_not_ready(hours: int) -> None:
    stuck = moved(FRESH, {0: Position(committed=5, end=9)}, 1000.0)
    now = 1000.0 + hours * 3600
    signs = Signs(stuck.fetched_at, looked_at=now, waiting=frozenset({"inference"}), marks=stuck.marks)
    assert complaints(signs, now) == ()
    assert not is_ready(signs, now)


def test_a_rebalance_may_last_two_minutes_and_is_not_ready() -> None:
    signs, now = at(1000.0, rebalancing_since=881.0)
    assert complaints(signs, now) == ()
    assert not is_ready(signs, now)
    signs, now = at(1000.0, rebalancing_since=880.0)
    assert complaints(signs, now) == ("a rebalance does not end",)


def test_a_partition_that_lags_and_does_not_move_for_75_s_is_not_live() -> None:
    signs = moved(FRESH, {0: Position(committed=5, end=9)}, 1000.0)
    later = moved(Signs(1075.0, 1075.0, marks=signs.marks), {0: Position(committed=5, end=12)}, 1075.0)
    assert complaints(later, 1074.9) == ()
    assert complaints(later, 1075.0) == ("a partition's committed offset stands still",)


def test_a_partition_at_its_end_may_stand_still_for_ever() -> None:
    signs = moved(FRESH, {0: Position(committed=9, end=9)}, 1000.0)
    later = moved(Signs(9999.0, 9999.0, marks=signs.marks), {0: Position(committed=9, end=9)}, 9999.0)
    assert complaints(later, 9999.0) == ()


readings = st.lists(
    st.tuples(
        st.floats(0.1, 30.0),
        st.dictionaries(st.integers(0, 3), st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=4),
    ),
    max_size=30,
)


@given(readings)
def test_a_partition_is_blamed_only_if_it_lagged_at_one_offset_for_too_long(
    steps: list[tuple[float, Mapping[int, tuple[int, int]]]],
) -> None:
    signs, now = FRESH, 1000.0
    stuck_since: dict[int, tuple[int, float]] = {}
    for elapsed, said in steps:
        now += elapsed
        positions = {number: Position(committed, committed + lag) for number, (committed, lag) in said.items()}
        signs = moved(signs, positions, now)
        stuck_since = {
            number: stuck_since[number]
            if number in stuck_since and stuck_since[number][0] == position.committed and position.lag
            else (position.committed, now)
            for number, position in positions.items()
        }
        blamed = bool(complaints(Signs(now, now, marks=signs.marks), now))
        assert blamed == any(now - since >= liveness.MOVED_S for _, since in stuck_since.values())


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_file_is_touched_while_the_worker_is_live_and_left_alone_when_it_is_not(
    tmp_path: Path, metrics: Metrics, clock: Clock
) -> None:
    file = tmp_path / "alive"
    worker = Liveness(metrics, file=file, clock=clock)
    worker.look()
    assert file.exists()
    file.unlink()
    clock.now += liveness.FETCH_S
    worker.look()
    assert not file.exists()
    assert metrics.registry.get_sample_value("undertone_live") == 0
    worker.progressed()
    worker.look()
    assert file.exists()


def test_a_declared_wait_is_shown(metrics: Metrics, clock: Clock) -> None:
    waits = True
    worker = Liveness(metrics, file=None, waiting={"postgres": lambda: waits}, clock=clock)
    worker.look()
    assert (worker.live, worker.ready) == (True, False)
    assert metrics.registry.get_sample_value("undertone_waiting", {"dependency": "postgres"}) == 1
    waits = False
    worker.look()
    assert worker.ready


def test_the_time_that_was_waited_is_not_held_against_the_worker(metrics: Metrics, clock: Clock) -> None:
    waits = True
    worker = Liveness(metrics, file=None, waiting={"postgres": lambda: waits}, clock=clock)
    worker.signs = moved(worker.signs, {0: Position(committed=5, end=9)}, clock.now)
    worker.look()
    clock.now += 10 * liveness.MOVED_S
    worker.look()
    waits = False
    worker.look()
    assert worker.live
    clock.now += liveness.MOVED_S
    worker.progressed()
    worker.look()
    assert not worker.live


def test_a_rebalance_forgets_where_the_partitions_stood(metrics: Metrics, clock: Clock) -> None:
    worker = Liveness(metrics, file=None, clock=clock)
    worker.signs = moved(worker.signs, {0: Position(1, 9)}, clock.now)
    worker.rebalancing(going_on=True)
    clock.now += 1
    worker.rebalancing(going_on=True)
    assert worker.signs.rebalancing_since == clock.now - 1
    worker.rebalancing(going_on=False)
    assert (worker.signs.rebalancing_since, worker.signs.marks) == (None, {})


async def test_what_the_broker_says_is_shown_and_a_silent_broker_is_waited_for(metrics: Metrics) -> None:
    answers = [{0: Position(3, 10), 1: Position(4, 4)}, {0: Position(5, 10)}]
    asked = asyncio.Event()

    async def positions() -> Mapping[int, Position]:
        if answers:
            return answers.pop(0)
        asked.set()
        raise ConnectionError("gone")

    worker = Liveness(metrics, file=None, positions=positions, ask_s=0.0)
    watching = asyncio.create_task(worker.run())
    await asked.wait()
    await asyncio.sleep(0)
    watching.cancel()
    value = metrics.registry.get_sample_value
    assert value("undertone_lag", {"partition": "0"}) == 5
    assert value("undertone_committed_offset", {"partition": "0"}) == 5
    assert value("undertone_lag", {"partition": "1"}) is None
    worker.look()
    assert (worker.live, worker.ready) == (True, False)
    assert value("undertone_waiting", {"dependency": "kafka"}) == 1


async def test_records_that_retention_took_are_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics(CollectorRegistry())
    said = iter([Position(4, 9, lost=3), Position(4, 9, lost=3), Position(6, 9, lost=5), Position(9, 9)])
    told = asyncio.Event()

    async def positions() -> Mapping[int, Position]:
        position = next(said, None)
        if position is None:
            told.set()
        return {0: position or Position(10, 12, lost=1)}

    watch = Liveness(metrics, file=None, positions=positions, ask_s=0)
    watching = asyncio.create_task(watch.run())
    await told.wait()
    await asyncio.sleep(0)
    watching.cancel()
    assert metrics.registry.get_sample_value("undertone_offsets_lost_total") == 3 + 2 + 1
    assert {record.message for record in caplog.records} == {"records were deleted before they were handled"}
    assert len(caplog.records) == 3


async def test_the_broker_is_asked_as_soon_as_partitions_are_assigned() -> None:
    asked = asyncio.Event()

    async def positions() -> Mapping[int, Position]:
        asked.set()
        return {}

    watch = Liveness(Metrics(CollectorRegistry()), file=None, positions=positions, ask_s=3600)
    watching = asyncio.create_task(watch.run())
    await asked.wait()
    asked.clear()
    await asyncio.sleep(0)
    watch.rebalancing(going_on=False)
    await asked.wait()
    watching.cancel()


def test_a_long_batch_that_gets_on_counts_as_moving() -> None:
    now = 0.0
    worker = Liveness(Metrics(CollectorRegistry()), file=None, clock=lambda: now)
    worker.signs = moved(worker.signs, {0: Position(committed=5, end=9)}, now)
    now = 59.0
    worker.signs = replace(worker.signs, fetched_at=now, looked_at=now)
    worker.advanced()
    now = 100.0
    worker.signs = moved(replace(worker.signs, fetched_at=now, looked_at=now), {0: Position(committed=5, end=9)}, now)
    assert worker.live
