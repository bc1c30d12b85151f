"""What is broken first, and under which calls."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from ops.chaos.calls import Kind
from ops.chaos.faults import Breaking
from ops.chaos.rows import POISON, ROWS
from ops.chaos.run import planned

WORKERS = ("label-a", "segment-a", "escalate-a", "segment-b")


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - the same in every run


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
