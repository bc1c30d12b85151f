"""Two call stores, one suite: PostgreSQL and its twin, and a way to look inside either."""
# ruff: noqa: ANN401 - what a test asks of the two worlds is its type

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import insert, select, update

from services.standalone.postgres import postgres
from streams.adapters.memory_calls import MemoryCalls
from streams.adapters.memory_tables import MemoryTables, Queued
from streams.domain.evolution import Meaning, evolution
from streams.domain.records import Consent, Escalation, Label, Notice, Outcome, Purpose, Role
from streams.ports import Call, CallStore, Checkpoint
from streams.store import tables
from streams.store.access import READ, WRITE
from streams.store.calls import PostgresCalls
from streams.store.database import Database
from streams.store.evolutions import evolve

AT = datetime(2026, 11, 3, 12, tzinfo=UTC)
MEANS = Meaning("category.binary", frozenset({"neutral"}), {"negative": 1.0}, {"excited": 1.0})
GRANT = Consent(Purpose.ALERTING, granted=True, basis="consent", given_at=AT, expires_at=AT + timedelta(hours=1))


class Sample:
    """Records to store; tests cannot import from each other, so they reach them through the fixture."""

    AT = AT
    GRANT = GRANT
    CALL = "ab" * 32
    OTHER = "cd" * 32

    def call(self, name: str = CALL, **changed: Any) -> Call:
        known = Call(
            call=name,
            epoch="2026-11",
            use_case="demo",
            language="en",
            channels=(Role.AGENT, Role.CUSTOMER),
            started_at=AT,
            reference="crm-81",
            notice=Notice(id="ivr-7", version="2", language="en", given_at=AT),
            consents={Purpose.ALERTING: GRANT},
            consent_seq=0,
            fates={"1 customer": {"window": 5000}},
        )
        return replace(known, **changed)

    def checkpoint(self, next_offset: int, name: str = CALL, *, closed: bool = False, **changed: Any) -> Checkpoint:
        return Checkpoint(self.call(name, **changed), 3, next_offset, b"sealed %d" % next_offset, closed)

    def label(self, window_id: str, name: str = CALL) -> Label:
        return Label(window_id, name, "demo", Role.CUSTOMER, 0, 5000, 0, AT, Outcome.LABELLED, "00" * 32)

    def escalation(self, id_: str, name: str = CALL) -> Escalation:
        return Escalation(
            id=id_,
            call=name,
            use_case="demo",
            rule="negative-and-excited",
            severity="high",
            window_ids=("w1",),
            from_ms=1000,
            to_ms=5000,
            heads={"category.full": {"anger": 0.9, "neutral": 0.1}},
            consent=GRANT,
            bundle="00" * 32,
            raised_at=AT,
            reference="crm-81",
        )


@dataclass
class MemoryWorld(Sample):
    tables: MemoryTables
    store: CallStore

    async def record(self, labels: list[Label], escalations: list[Escalation]) -> None:
        self.tables.labels |= {label.window_id: label for label in labels}
        for name in {label.call for label in labels}:
            of_call = [label for label in self.tables.labels.values() if label.call == name]
            self.tables.evolutions[name] = evolution(of_call, MEANS)
        self.tables.escalations |= {escalation.id: escalation for escalation in escalations}
        self.tables.outbox += [Queued(escalation) for escalation in escalations]

    async def send(self, escalation_id: str) -> None:
        for queued in self.tables.outbox:
            queued.sent |= queued.escalation.id == escalation_id

    async def call_row(self, name: str) -> Call | None:
        return self.tables.calls.get(name)

    async def counts(self, name: str) -> dict[str, int]:
        inside = self.tables
        return {
            "calls": int(name in inside.calls),
            "labels": sum(label.call == name for label in inside.labels.values()),
            "evolutions": int(name in inside.evolutions),
            "escalations": sum(escalation.call == name for escalation in inside.escalations.values()),
        }

    async def queued(self) -> list[Escalation]:
        return [queued.escalation for queued in self.tables.outbox if not queued.sent]

    async def outbox_of(self, name: str) -> int:
        return sum(queued.escalation.call == name for queued in self.tables.outbox)

    async def audited(self) -> list[tuple[str, str | None]]:
        return [(action, name) for action, name, _ in self.tables.audit]


@dataclass
class PostgresWorld(Sample):
    database: Database  #: as the role of the stages, so that every statement of theirs is seen to be allowed
    eye: Database  #: as a superuser
    store: CallStore

    async def _rows(self, query: Any) -> list[Any]:
        async def work(connection: Any) -> list[Any]:
            return list(await connection.execute(query))

        return await self.eye.transaction(work)

    async def record(self, labels: list[Label], escalations: list[Escalation]) -> None:
        async def work(connection: Any) -> None:
            rows = [msgspec.to_builtins(label, builtin_types=(datetime,)) for label in labels]
            if rows:
                await connection.execute(insert(tables.labels), rows)
                await evolve(connection, labels, {label.call: MEANS for label in labels})
            for each in escalations:
                row = msgspec.to_builtins(each, builtin_types=(datetime,))
                del row["retracted"]
                row["consent"] = msgspec.to_builtins(each.consent)
                await connection.execute(insert(tables.escalations), row)
                queued = {"call": each.call, "escalation_id": each.id, "escalation": msgspec.to_builtins(each)}
                await connection.execute(insert(tables.outbox), queued)

        await self.database.transaction(work)

    async def _mark(self, escalation_id: str, **times: datetime) -> None:
        marked = update(tables.outbox).where(tables.outbox.c.escalation_id == escalation_id).values(**times)

        async def work(connection: Any) -> None:
            await connection.execute(marked)

        await self.database.transaction(work)

    async def send(self, escalation_id: str) -> None:
        await self._mark(escalation_id, tried_at=AT, sent_at=AT)

    async def try_to_send(self, escalation_id: str) -> None:
        await self._mark(escalation_id, tried_at=AT)

    async def call_row(self, name: str) -> Call | None:
        columns = [tables.calls.c[field] for field in Call.__dataclass_fields__]
        found = await self._rows(select(*columns).where(tables.calls.c.call == name))
        return msgspec.convert(dict(zip(Call.__dataclass_fields__, found[0], strict=True)), Call) if found else None

    async def counts(self, name: str) -> dict[str, int]:
        of_call = (tables.calls, tables.labels, tables.evolutions, tables.escalations)
        return {table.name: len(await self._rows(select(table).where(table.c.call == name))) for table in of_call}

    async def queued(self) -> list[Escalation]:
        unsent = select(tables.outbox.c.escalation).where(tables.outbox.c.sent_at.is_(None))
        return [msgspec.convert(row.escalation, Escalation) for row in await self._rows(unsent.order_by("id"))]

    async def outbox_of(self, name: str) -> int:
        return len(await self._rows(select(tables.outbox).where(tables.outbox.c.call == name)))

    async def audited(self) -> list[tuple[str, str | None]]:
        rows = await self._rows(select(tables.audit).order_by("id"))
        return [(row.action, row.call) for row in rows]


@pytest.fixture(scope="session")
def bare_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server on which no role of ours was made: roles are of the whole server. Leave none there."""
    with postgres(tmp_path_factory.mktemp("bare"), durable=False) as url:
        yield url


@pytest.fixture(scope="session")
def logins(postgres_server: str, migrated_template: str) -> str:
    """Makes `test_writer` and `test_auditor`, who reads the trail besides; the password of both."""
    password = "not-a-secret"  # noqa: S105
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        for login, roles in {"test_writer": WRITE, "test_auditor": f"{WRITE}, {READ}"}.items():
            connection.execute(f"CREATE ROLE {login} LOGIN PASSWORD '{password}' IN ROLE {roles}".encode())
    return password


@pytest.fixture
async def database(migrated: str, logins: str) -> AsyncIterator[Database]:
    """The test's own database as the stages see it."""
    database = Database(make_conninfo(migrated, user="test_writer", password=logins), application="test")
    yield database
    await database.close()


@pytest.fixture
async def postgres_world(database: Database, migrated: str) -> AsyncIterator[PostgresWorld]:
    eye = Database(migrated, application="eye")
    yield PostgresWorld(database, eye, PostgresCalls(database))
    await eye.close()


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> MemoryWorld | PostgresWorld:
    """A store, and what other stages and a curious eye do to its tables."""
    if request.param == "memory":
        inside = MemoryTables()
        return MemoryWorld(inside, MemoryCalls(inside))
    found: PostgresWorld = request.getfixturevalue("postgres_world")
    return found
