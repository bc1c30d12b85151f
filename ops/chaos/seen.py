"""What a run left behind: the five topics from where they ended before it, and the rows of its calls."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from psycopg.rows import dict_row

from ops.chaos.site import Site
from streams.domain.trail import Entry
from streams.kafka.connection import connection
from streams.ports import Fetched
from streams.store.audit import pages
from streams.store.database import Database
from streams.topics import TOPICS

Ends = Mapping[TopicPartition, int]
Rows = Sequence[Mapping[str, Any]]
TABLES = ("calls", "call_state", "labels", "evolutions", "escalations", "outbox", "audit", "committed")


@dataclass(frozen=True, slots=True)
class Seen:
    """Records by topic, each partition in order; rows by table; the whole audit trail."""

    records: Mapping[str, Sequence[Fetched]] = field(repr=False)
    rows: Mapping[str, Rows] = field(repr=False)
    trail: Sequence[Entry] = field(repr=False)


async def ends(site: Site) -> Ends:
    """Where each partition of every topic ends now."""
    async with AIOKafkaConsumer(**connection(site.settings)) as consumer:
        places = [TopicPartition(topic.name, n) for topic in TOPICS for n in range(site.settings.partitions)]
        found: Ends = await consumer.end_offsets(places)
        return found


async def collect(site: Site, since: Ends, calls: Collection[str]) -> Seen:
    """Everything from `since` on, and the rows of these calls (pseudonyms)."""
    upto = await ends(site)
    records: dict[str, list[Fetched]] = {topic.name: [] for topic in TOPICS}
    async with AIOKafkaConsumer(**connection(site.settings), enable_auto_commit=False) as consumer:
        consumer.assign(list(since))
        for place, offset in since.items():
            consumer.seek(place, offset)
        left = {place for place, offset in since.items() if offset < upto[place]}
        while left:
            for place, batch in (await consumer.getmany(timeout_ms=200)).items():
                records[place.topic] += [record for record in batch if record.offset < upto[place]]
            left = {place for place in left if await consumer.position(place) < upto[place]}
    return Seen(records, _rows(site, calls), await _trail(site))


def _rows(site: Site, calls: Collection[str]) -> dict[str, Rows]:
    address = site.settings.postgres.get_secret_value()
    with psycopg.connect(address, row_factory=dict_row) as connected:
        return {
            table: connected.execute(
                f"SELECT * FROM {table} WHERE call = ANY(%s)".encode(),  # noqa: S608 - a closed list
                (list(calls),),
            ).fetchall()
            for table in TABLES
        }


async def _trail(site: Site) -> list[Entry]:
    database = Database(site.settings.postgres.get_secret_value(), application="chaos")
    try:
        return [entry async for page in pages(database) for entry in page]
    finally:
        await database.close()
