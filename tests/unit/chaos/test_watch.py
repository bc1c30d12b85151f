"""What is seen while a run goes on: who stands still, who grows, what is broken first and under which calls."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from ops.chaos.calls import Kind
from ops.chaos.faults import Breaking
from ops.chaos.rows import POISON, ROWS
from ops.chaos.run import planned
from ops.chaos.sizes import MAY_GROW, Size, Sizes
from ops.chaos.watch import Sample, Watch
from streams.kafka.liveness import Position

WORKERS = ("label-a", "segment-a", "escalate-a", "segment-b")


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - the same in every run


def watched(*committed: int) -> Watch:
    """A sample a second of one partition that ends at 10."""
    return Watch([Sample(at, at, {"segment": {0: Position(done, 10)}}) for at, done in enumerate(committed)])


def test_a_partition_that_moves_again_is_idle_from_the_fault_to_its_next_commit() -> None:
    assert watched(5, 5, 5, 6).idle_s(1, [1]) == 2


def test_a_partition_that_never_moves_again_is_idle_to_the_end() -> None:
    assert watched(5, *[5] * 90).idle_s(1, [1]) == 89


def test_a_partition_is_excused_until_the_last_fault_before_it_moved_is_over() -> None:
    assert watched(5, *[5] * 90, 6).idle_s(1, [1, 60, 100]) == 31


def test_a_partition_at_its_end_is_not_idle() -> None:
    assert watched(10, 10, 10).idle_s(0.5, [0.5]) < 1


@pytest.mark.parametrize("what", ["mib", "fds", "threads"])
def test_a_worker_that_grows_by_more_than_it_may_is_found(what: str) -> None:
    sizes, may = Sizes(), getattr(MAY_GROW, what)
    for worker, age_s, more in (("a", 1, 1000), ("a", 20, 0), ("a", 30, may), ("b", 20, 0), ("b", 30, may + 1)):
        sizes.see(worker, 1, grown(what, more), age_s=age_s)
    assert sizes.findings() == [f"b grew by {may + 1} {what}"]


def grown(what: str, more: int) -> Size:
    return Size(**{"mib": 100, "fds": 10, "threads": 2} | {what: getattr(Size(100, 10, 2), what) + more})


@pytest.mark.parametrize("seed", range(3))
def test_the_first_to_be_killed_is_a_segment_worker_whatever_the_seed(seed: int) -> None:
    site: Any = None
    breaking = Breaking(site, seeded(seed))
    chosen = [breaking.victim(WORKERS) for _ in range(40)]
    assert chosen[0].startswith("segment")
    assert set(chosen) == set(WORKERS)


def test_every_run_of_a_row_has_calls_of_every_mix() -> None:
    poison = [shares(row.sendings) for row in planned(ROWS["20"], seeded(0), 4)]
    assert len(POISON) == 3
    assert min(poison) < 0.05  # 1 %
    assert any(0.05 < share < 0.2 for share in poison)
    assert sum(share > 0.5 for share in poison) == ROWS["20"].calls // 3


def shares(sendings: Sequence[Any]) -> float:
    return sum(sending.kind is Kind.POISON for sending in sendings) / len(sendings)
