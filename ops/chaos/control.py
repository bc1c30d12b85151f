"""The control: what a stock Faust agent loses and doubles under the same calls, the same log and the same faults."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from ops.chaos.ledger import Ledger
from ops.chaos.site import Site, add_worker
from ops.chaos.stock import GROUP, SELECT, TABLE
from streams.kafka.connection import connection
from streams.kafka.liveness import Position
from streams.kafka.positions import Positions
from streams.topics import CALLS

NAME = "stock-a"
QUIET_S = 6.0  #: without a new effect, everything committed
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Control:
    """What the stock agent made of the run's records."""

    records: int
    lost: int  #: committed, and no effect
    doubled: int
    unfinished: int  #: neither, when patience ended


@asynccontextmanager
async def controlled(site: Site, *, wanted: bool) -> AsyncIterator[None]:
    """Run the stock agent beside the stream, from the log's end on, where it is wanted."""
    if not wanted:
        yield
        return
    await _from_here(site)
    add_worker(site, NAME, ("ops.chaos.stock",), {})
    site.controls = (NAME,)
    await _joined(site)
    try:
        yield
    finally:
        site.controls = ()
        site.supervisor.stop((NAME,), grace_s=5)


async def compare(site: Site, ledger: Ledger) -> Control:
    """Wait until the stock agent has come to rest, then look for the effect of each record that it has committed."""
    async with Positions(connection(site.settings)) as positions:
        said = await _at_rest(site, positions)
    effects = Counter(await asyncio.to_thread(_effects, site))
    due = {(entry.partition, entry.offset) for entry in ledger.entries}
    missing = {(partition, offset) for partition, offset in due if not effects[partition, offset]}
    lost = sum(offset < said[partition].committed for partition, offset in missing)
    return Control(len(due), lost, sum(effects[place] > 1 for place in due), len(missing) - lost)


async def _from_here(site: Site) -> None:
    places = [TopicPartition(CALLS.name, number) for number in range(site.settings.partitions)]
    arguments = connection(site.settings)
    async with AIOKafkaConsumer(**arguments, group_id=GROUP, enable_auto_commit=False) as consumer:
        consumer.assign(places)
        await consumer.commit(await consumer.end_offsets(places))
    with psycopg.connect(site.settings.postgres.get_secret_value()) as connected:
        connected.execute(f"DROP TABLE IF EXISTS {TABLE}".encode())
        connected.execute(f"CREATE TABLE {TABLE} (partition integer, record bigint)".encode())


async def _joined(site: Site) -> None:
    """Return once the agent is at work: what dies before it began would cost it nothing."""
    admin = AIOKafkaAdminClient(**connection(site.settings))
    await admin.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            while await state_of(admin, GROUP) != "Stable":
                await asyncio.sleep(0.2)
    finally:
        await admin.close()


async def state_of(admin: AIOKafkaAdminClient, group: str) -> str:
    """The group's state: the second field behind its error code, in every version of the answer."""
    answers = await admin.describe_consumer_groups([group])
    [(_, _, state, *_)] = answers[0].groups
    return str(state)


async def _at_rest(site: Site, positions: Positions) -> dict[int, Position]:
    """What it has committed, once that is all of the log (Faust may stop one short) and nothing more comes."""
    deadline, effects, since = time.monotonic() + PATIENCE_S, -1, time.monotonic()
    while True:
        said = await positions.read(GROUP, CALLS.name)
        count = len(await asyncio.to_thread(_effects, site))
        behind = any(position.lag > 1 for position in said.values())
        if count != effects or behind:
            effects, since = count, time.monotonic()
        if time.monotonic() - since >= QUIET_S or time.monotonic() > deadline:
            return said
        await asyncio.sleep(1)


def _effects(site: Site) -> list[tuple[int, int]]:
    with psycopg.connect(site.settings.postgres.get_secret_value()) as connected:
        return connected.execute(SELECT.encode()).fetchall()
