"""The short form of `make chaos`: six rows of the fault matrix in one run, the stock Faust agent beside it."""

from pathlib import Path

import pytest

from ops.chaos import faults
from ops.chaos.calls import Mix
from ops.chaos.rows import Row
from ops.chaos.run import run
from ops.chaos.site import running_site

#: Rows 1, 2, 4, 7, 14 and 20, one after the other.
SHORT = Row(
    0,
    "kill -9 one and all, SIGTERM, broker and PostgreSQL restarted, unusable records",
    faults.each_of(
        faults.restart_postgres, faults.kill_one, faults.restart_next, faults.restart_broker, faults.kill_all
    ),
    mixes=(Mix(media_s=(14, 24), poison=0.05),),
    calls=24,
    lanes=4,
    speed=3.0,
    control=True,
)
ONE_SIDE = {"label": "a", "escalate": "a", "relay": "a"}
SEED = 1


@pytest.mark.asyncio(loop_scope="session")
async def test_whatever_is_killed_nothing_is_lost_nothing_doubled_and_stock_faust_loses(tmp_path: Path) -> None:
    async with running_site(tmp_path, sides=ONE_SIDE) as site:
        outcome = await run(site, SHORT, SEED)
    found = outcome.findings
    assert dict(found.broken) == {}
    assert (found.lost, found.doubled) == (0, 0)
    assert found.effects > 50
    assert {fault.what.split()[0] for fault in outcome.faults} >= {"kill", "SIGTERM"}
    assert len(outcome.faults) >= 5
    assert outcome.control is not None
    assert outcome.control.lost > 0  # Faust acknowledges the record whose agent raised
