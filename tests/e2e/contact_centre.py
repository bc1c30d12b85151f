"""A contact centre on this machine: the whole stack, and calls published to it."""

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families
from psycopg import sql
from psycopg.rows import dict_row

from services.recordings import call_records, open_recording
from services.standalone.stack import Stack
from streams.app import SOURCES, group
from streams.domain.privacy import pseudonym
from streams.domain.records import CallRecord, Consent, Notice, Purpose, Role, Started
from streams.kafka.admin import lag
from streams.kafka.connection import connection
from streams.kafka.producer import KafkaSender
from streams.kafka.publish import publish
from streams.ports import Fetched
from streams.store.epochs import read_epochs

SAMPLES = Path(__file__).parents[2] / "services" / "standalone" / "samples"
ROLES = (Role.AGENT, Role.CUSTOMER)
PATIENCE_S = 90  #: for a killed worker to be noticed, started again and given its partitions back
LABELS = "SELECT start_ms, end_ms, role, outcome, reason, heads FROM labels WHERE call = %s ORDER BY start_ms"
ESCALATED = "SELECT rule, severity, from_ms, to_ms, heads FROM escalations WHERE call = %s ORDER BY from_ms"


def assert_same(rows: list[dict[str, object]], others: list[dict[str, object]]) -> None:
    """Equal, probabilities to 1e-5: a batch's company moves the last bits."""
    for row, other in zip(rows, others, strict=True):
        assert {**row, "heads": None} == {**other, "heads": None}
        assert row["heads"].keys() == other["heads"].keys()  # type: ignore[attr-defined]
        for head, classes in row["heads"].items():  # type: ignore[attr-defined]
            assert classes == pytest.approx(other["heads"][head], abs=1e-5)  # type: ignore[index]


@dataclass(slots=True)
class Site:
    """A contact centre on this machine."""

    stack: Stack
    ids: dict[str, str] = field(default_factory=dict)  #: pseudonym -> call id

    def started(self, *, consents: bool = True) -> Started:
        at = datetime.now(UTC)
        grant = Consent(Purpose.ALERTING, granted=True, basis="consent", given_at=at)
        return Started("demo", ROLES, "en", Notice("test", "1", "en", at), (grant,) if consents else ())

    def told(self, recording: Path, started: Started | None = None) -> list[CallRecord]:
        call_id = f"call-{uuid.uuid4()}"
        at = datetime.now(UTC)
        return list(call_records(open_recording(recording), call_id=call_id, started=started or self.started(), at=at))

    async def publish(self, records: Sequence[CallRecord], speed: float = 0) -> str:
        """Publish a call; its pseudonym."""
        async with KafkaSender(connection(self.stack.settings)) as sender:
            await publish(records, sender, speed=speed)
        return self.name(records[0].call_id)

    def name(self, call_id: str) -> str:
        return pseudonym(read_epochs(self.stack.settings.epochs)[-1], call_id)

    def rows(self, query: str, *arguments: object) -> list[dict[str, object]]:
        with psycopg.connect(self.stack.settings.postgres.get_secret_value(), row_factory=dict_row) as connection:
            return connection.execute(query.encode(), arguments).fetchall()

    def execute(self, statements: str) -> None:
        with psycopg.connect(self.stack.settings.postgres.get_secret_value()) as connection:
            connection.execute(statements.encode())

    async def until(self, query: str, *arguments: object) -> list[dict[str, object]]:
        """The query's rows, as soon as there are any."""
        rows = await self.eventually(lambda: self.rows(query, *arguments))
        assert rows, f"nothing within {PATIENCE_S} s: {query}"
        return rows

    async def eventually(self, look: Callable[[], list[dict[str, object]]]) -> list[dict[str, object]]:
        deadline = time.monotonic() + PATIENCE_S
        while not (seen := look()) and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        return seen

    def holding(self, said: str) -> set[str]:
        """The tables that have this text in any column of any row."""
        with psycopg.connect(self.stack.settings.postgres.get_secret_value()) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            asked = sql.SQL("SELECT FROM {} t WHERE to_jsonb(t)::text LIKE %s LIMIT 1")
            return {
                name
                for (name,) in tables
                if connection.execute(asked.format(sql.Identifier(name)), (f"%{said}%",)).fetchall()
            }

    async def records(self, topic: str) -> list[Fetched]:
        """Everything that the broker has of a topic now."""
        async with AIOKafkaConsumer(**connection(self.stack.settings), auto_offset_reset="earliest") as consumer:
            partitions = [TopicPartition(topic, number) for number in range(self.stack.settings.partitions)]
            consumer.assign(partitions)
            ends, found = await consumer.end_offsets(partitions), list[Fetched]()
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for fetched in (await consumer.getmany(timeout_ms=100)).values():
                    found += fetched
        return found

    async def drained(self) -> None:
        """Wait until every stage has taken in all that there is, and everything due is sent."""
        groups = {group(stage): topic.name for stage, topic in SOURCES.items()}
        for _ in range(2):  # what the last stage was still at may have been another's input
            async with asyncio.timeout(PATIENCE_S):
                while any(each.behind for each in await lag(self.stack.settings, groups)):
                    await asyncio.sleep(0.2)
        assert await self.eventually(
            lambda: self.rows("SELECT 1 WHERE NOT EXISTS (SELECT FROM outbox WHERE sent_at IS NULL)")
        )

    def counted(self, stage: str, name: str) -> float:
        """The sum of one of a stage's metrics over its labels."""
        address = self.stack.probes[stage].removesuffix("/ready") + "/metrics"
        with urlopen(address, timeout=5) as reply:  # noqa: S310 - our own worker's
            families = text_string_to_metric_families(reply.read().decode())
            return sum(sample.value for family in families for sample in family.samples if sample.name == name)

    async def settled(self, call: str) -> dict[str, object]:
        """The call's row once it is over and each of its windows has a label row, and what is due is sent."""
        (row,) = await self.until("SELECT * FROM calls WHERE call = %s AND ended_at IS NOT NULL", call)
        window_ms = dict(row["fates"])["1 customer"].get("window", 0)  # type: ignore[call-overload]
        await self.until(
            "SELECT 1 WHERE (SELECT coalesce(sum(end_ms - start_ms), 0) FROM labels WHERE call = %s) = %s"
            " AND NOT EXISTS (SELECT FROM outbox WHERE call = %s AND sent_at IS NULL)",
            call,
            window_ms,
            call,
        )
        return row
