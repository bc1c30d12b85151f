"""From the log's time of a withdrawal to its deletion and to the last label committed: 20 calls in real time.

On the site that chaos runs on, for its proxies and its note of when each label row was committed; a worker a stage,
the real inference service.
"""

import asyncio
import os
import random
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from live import SAMPLES, told
from results import Measure, progress, quantile

from ops.chaos.proxy import Proxy, Toxics, Way
from ops.chaos.site import Site, running_site
from streams.domain.privacy import pseudonym
from streams.domain.records import CallRecord, Consent, Purpose
from streams.kafka.connection import connection
from streams.kafka.producer import KafkaSender
from streams.kafka.publish import publish
from streams.store.epochs import read_epochs

SIDES = {"segment": "b", "label": "b", "escalate": "b", "relay": "a"}  #: the relay has a network of its own
CALLS, STAGGER_S = 20, 0.73
PATIENCE_S = 60
SEED = int(os.environ.get("UNDERTONE_SEED", "1"))

#: Seconds from the withdrawal's log time to its deletion and to the call's last label.
FOUND = """
    SELECT extract(epoch FROM audit.at - gone.at)::float8, extract(epoch FROM max(committed.at) - gone.at)::float8
    FROM audit CROSS JOIN LATERAL (SELECT (detail->>'withdrawn_at')::timestamptz AS at) gone
    LEFT JOIN committed USING (call) WHERE action = 'call.withdrawn' AND call = ANY(%s) GROUP BY audit.id, gone.at
"""
LEFT = """
    SELECT call FROM calls UNION SELECT call FROM labels UNION SELECT call FROM evolutions
    UNION SELECT call FROM escalations UNION SELECT call FROM outbox
"""


async def _kill_inference(site: Site) -> None:
    await asyncio.sleep(4)
    site.signal("inference", signal.SIGKILL)


async def _kill_segment(site: Site) -> None:
    await asyncio.sleep(20)  # its group has noticed the last death by then
    site.signal("segment-b", signal.SIGKILL)


async def _cut_off_relay(site: Site) -> None:
    """Ten seconds of twelve: what it is just sending keeps its rows locked."""
    await asyncio.sleep(2)
    await _cut_off(site.proxied("kafka", ["a"]), 10)


async def _stall_postgres(site: Site) -> None:
    await asyncio.sleep(6)
    await _cut_off(site.proxied("postgres"), 3)


async def _cut_off(proxies: Sequence[Proxy], seconds: float) -> None:
    for proxy in proxies:
        proxy.spoil(Toxics(blackhole=frozenset(Way)))
    await asyncio.sleep(seconds)
    for proxy in proxies:
        proxy.heal()


#: What is done again and again while the calls go on.
FAULTS: Mapping[str, Callable[[Site], Awaitable[None]]] = {
    "": lambda _: asyncio.sleep(1),
    "inference killed every 4 s": _kill_inference,
    "segment killed every 20 s": _kill_segment,
    "relay cut off Kafka for 10 s of 12": _cut_off_relay,
    "PostgreSQL stalled for 3 s of 9": _stall_postgres,
}


def measure() -> list[Measure]:
    """Undisturbed, and under each of the faults."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> list[Measure]:
    measures = []
    async with running_site(folder, sides=SIDES, real_bundle=True) as site:
        with psycopg.connect(site.settings.postgres.get_secret_value(), autocommit=True) as database:
            for fault in FAULTS:
                progress(f"withdrawal: {CALLS} calls in real time" + (f", {fault}" if fault else ""))
                async with _going_on(site, fault):
                    names = await _withdrawn(site)
                await _deleted(database, names)
                measures += _figures(database, names, fault)
    return measures


async def _withdrawn(site: Site) -> list[str]:
    chance = random.Random(SEED)  # noqa: S311 - a schedule, not a secret
    calls = [_withdrawing(SAMPLES[number % 2], chance) for number in range(CALLS)]
    await asyncio.gather(*(_play(site, records, STAGGER_S * number) for number, records in enumerate(calls)))
    epoch = read_epochs(site.settings.epochs)[-1]
    return [pseudonym(epoch, records[0].call_id) for records in calls]


def _withdrawing(sample: Path, chance: random.Random) -> list[CallRecord]:
    """The call, a withdrawal at a random place in it, and all the rest as if nothing had been said."""
    records = told(sample)
    place = chance.randrange(20, len(records))
    withdrawal = Consent(Purpose.ALERTING, granted=False, basis="objection", given_at=datetime.now(UTC))
    records.insert(place, replace(records[place - 1], body=withdrawal))
    return [replace(record, sequence=number) for number, record in enumerate(records)]


async def _play(site: Site, records: Sequence[CallRecord], after_s: float) -> None:
    await asyncio.sleep(after_s)
    async with KafkaSender(connection(site.settings)) as sender:
        await publish(records, sender, speed=1)


async def _deleted(database: psycopg.Connection, names: Sequence[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while len(database.execute(FOUND, (list(names),)).fetchall()) < len(names):
        if time.monotonic() > deadline:
            raise RuntimeError(f"not every withdrawal was carried out within {PATIENCE_S} s")
        await asyncio.sleep(0.2)
    await asyncio.sleep(2)  # what was on its way


@asynccontextmanager
async def _going_on(site: Site, fault: str) -> AsyncIterator[None]:
    async def again() -> None:
        while True:
            await FAULTS[fault](site)

    task = asyncio.create_task(again())
    try:
        yield
    finally:
        task.cancel()
        site.heal()


def _figures(database: psycopg.Connection, names: Sequence[str], fault: str) -> list[Measure]:
    found = database.execute(FOUND, (list(names),)).fetchall()
    left = {call for (call,) in database.execute(LEFT)} & set(names)
    deletions, labels = [row[0] for row in found], [row[1] for row in found if row[1] is not None]
    beside = f", {fault}" if fault else ""
    remarks = f"{len(names)} calls, {len(left)} with anything left, seed {SEED}; min to max beside"
    return [
        Measure(
            f"withdrawal to last label committed, worst{beside}",
            max(0.0, *labels),
            "s",
            low=min(labels),
            high=max(labels),
            goal="2 s",
            remarks=f"below 0: before the withdrawal; {len(labels)} calls had labels; {remarks}",
        ),
        Measure(
            f"withdrawal to everything deleted, worst{beside}",
            max(deletions),
            "s",
            low=min(deletions),
            high=max(deletions),
            goal="stated" if fault.startswith(("segment", "PostgreSQL")) else "2 s",  # it cannot be done without them
            remarks=f"median {quantile(deletions, 0.5):.3f} s",
        ),
    ]
