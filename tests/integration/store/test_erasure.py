"""Erasing a call on request: everything, under every epoch, with a receipt."""
# ruff: noqa: ANN401 - what a test asks of the two worlds is its type

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import select

from streams.domain.privacy import Epoch, pseudonym
from streams.store.database import StoreError
from streams.store.erasure import DECLARED, NEVER, count_erasures, erase
from streams.store.pseudonyms import look_up
from streams.store.tables import audit, erasures
from streams.topics import TOPICS

AT = datetime(2026, 11, 3, 12, tzinfo=UTC)
OLD = Epoch("2026-10", b"o" * 32, datetime(2026, 10, 1, tzinfo=UTC))
NEW = Epoch("2026-11", b"n" * 32, datetime(2026, 11, 1, tzinfo=UTC))
EPOCHS = (OLD, NEW)
CALL_ID = "+49 30 901820 / Erika Mustermann"


async def test_a_call_is_erased_under_whichever_epoch_it_has(postgres_world: Any) -> None:
    world, name = postgres_world, pseudonym(OLD, CALL_ID)
    await world.store.save([world.checkpoint(7, name), world.checkpoint(7, world.OTHER)])
    await world.record([world.label("w1", name)], [world.escalation("e1", name), world.escalation("e2", name)])
    await world.send("e1")

    receipt = await erase(world.database, CALL_ID, EPOCHS, at=AT)

    found = {part.epoch: part.deleted for part in receipt.parts}
    assert receipt.known
    assert (found["2026-10"].calls, found["2026-10"].labels, found["2026-10"].escalations) == (1, 1, 2)
    assert found["2026-10"].retracted == 1
    assert found["2026-11"].rows == 0
    assert await world.counts(name) == {"calls": 0, "labels": 0, "evolutions": 0, "escalations": 0}
    assert await world.counts(world.OTHER) == {"calls": 1, "labels": 0, "evolutions": 0, "escalations": 0}
    assert [escalation.retracted for escalation in await world.queued()] == [True]


async def test_erasures_are_counted_once_each_and_wait_until_the_topics_have_lost_the_call(postgres_world: Any) -> None:
    database = postgres_world.database
    assert await count_erasures(database, AT) == {"waiting": 0, "complete": 0}
    receipts = [await erase(database, call_id, EPOCHS, at=AT) for call_id in (CALL_ID, "another")]
    last = max(moment for moment in receipts[0].gone_at.values() if moment)
    assert await count_erasures(database, last - timedelta(seconds=1)) == {"waiting": 2, "complete": 0}
    assert await count_erasures(database, last) == {"waiting": 0, "complete": 2}


async def test_a_running_call_is_not_written_again(postgres_world: Any) -> None:
    world, name = postgres_world, pseudonym(NEW, CALL_ID)
    await world.store.save([world.checkpoint(7, name)])
    await erase(world.database, CALL_ID, EPOCHS, at=AT)

    assert await world.store.save([world.checkpoint(8, name)]) == {name}
    assert await world.counts(name) == {"calls": 0, "labels": 0, "evolutions": 0, "escalations": 0}


async def test_a_call_that_nobody_has_read_yet_never_opens(postgres_world: Any) -> None:
    world = postgres_world
    receipt = await erase(world.database, CALL_ID, EPOCHS, at=AT)

    assert not receipt.known
    names = [pseudonym(epoch, CALL_ID) for epoch in EPOCHS]
    assert await world.store.save([world.checkpoint(8, name) for name in names]) == set(names)


async def test_erasing_twice_retracts_once_and_is_on_record_twice(postgres_world: Any) -> None:
    world, name = postgres_world, pseudonym(NEW, CALL_ID)
    await world.store.save([world.checkpoint(7, name)])
    await world.record([], [world.escalation("e1", name)])
    await world.send("e1")
    first = await erase(world.database, CALL_ID, EPOCHS, at=AT)
    second = await erase(world.database, CALL_ID, EPOCHS, at=AT)

    assert (first.known, second.known) == (True, False)
    assert len(await world.queued()) == 1
    assert len(await world._rows(select(erasures))) == 4
    assert {(row.action, row.actor) for row in await world._rows(select(audit))} == {("call.erased", "erase")}


async def test_a_lost_commit_reply_changes_no_receipt(postgres_world: Any) -> None:
    world, name = postgres_world, pseudonym(NEW, CALL_ID)
    await world.store.save([world.checkpoint(7, name)])

    class Doubting:
        """Runs every transaction twice, as if the first reply had been lost."""

        async def transaction(self, work: Any) -> Any:
            await world.database.transaction(work)
            return await world.database.transaction(work)

    receipt = await erase(Doubting(), CALL_ID, EPOCHS, at=AT)  # type: ignore[arg-type] - as far as it is used

    assert receipt.known
    assert len(await world._rows(select(erasures))) == 2


async def test_the_receipt_says_when_each_topic_has_lost_the_call(postgres_world: Any) -> None:
    receipt = await erase(postgres_world.database, CALL_ID, EPOCHS, at=AT)

    lived = {topic: at - AT for topic, at in receipt.gone_at.items() if at}
    assert lived.keys() == {topic.name for topic in TOPICS}
    assert lived["calls.v1"] == lived["windows.v1"] == timedelta(minutes=60 + 5 + 5 + 1)
    assert lived["labels.v1"] == lived["escalations.v1"] == timedelta(days=7, minutes=60 + 5 + 1)


async def test_the_receipt_goes_by_what_the_broker_has_set_and_says_what_is_kept_for_ever(postgres_world: Any) -> None:
    world, name = postgres_world, pseudonym(NEW, CALL_ID)
    receipt = await erase(world.database, CALL_ID, [NEW], at=AT, lives={"calls.v1": timedelta(hours=3)})
    forever = await erase(world.database, CALL_ID, [OLD], at=AT, lives={**DECLARED, "calls.v1": None})

    assert receipt.gone_at == {"calls.v1": AT + timedelta(hours=3)}
    assert forever.gone_at["calls.v1"] is None
    stored = {row.call: row.gone_at for row in await world._rows(select(erasures))}
    assert stored == {name: AT + timedelta(hours=3), pseudonym(OLD, CALL_ID): NEVER}


#: Everything that an erasure writes: table and what is done to it.
PARTS = [
    ("call_state", "UPDATE"),
    ("call_state", "INSERT"),
    ("labels", "DELETE"),
    ("evolutions", "DELETE"),
    ("escalations", "DELETE"),
    ("outbox", "DELETE"),
    ("calls", "DELETE"),
    ("outbox", "INSERT"),
    ("erasures", "INSERT"),
    ("audit", "INSERT"),
]


def fault(url: str, table: str, event: str, what: str) -> None:
    """Make this part of any transaction fail."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SEQUENCE faults")
        body = f"BEGIN {what} RETURN coalesce(NEW, OLD); END"
        connection.execute(
            f"CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ {body} $$".encode()
        )
        made = f"CREATE TRIGGER aa_fault BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION fault()"
        connection.execute(made.encode())


async def full(world: Any) -> str:
    """A call with a row in every table, under the older epoch; its pseudonym."""
    name = pseudonym(OLD, CALL_ID)
    await world.store.save([world.checkpoint(7, name)])
    await world.record([world.label("w1", name)], [world.escalation("e1", name), world.escalation("e2", name)])
    await world.send("e1")
    return name


@pytest.mark.parametrize(("table", "event"), PARTS, ids=str)
async def test_where_any_part_fails_nothing_is_deleted_and_the_receipt_is_false(
    postgres_world: Any, migrated: str, table: str, event: str
) -> None:
    await full(postgres_world)
    before = _dump(migrated)
    fault(
        migrated, table, event, f"RAISE EXCEPTION 'no % %', '{CALL_ID}', OLD;" if event == "DELETE" else "RAISE 'no';"
    )
    receipt = await erase(postgres_world.database, CALL_ID, EPOCHS, at=AT)

    assert not receipt.erased
    assert (receipt.parts, receipt.known) == ((), False)
    assert "Mustermann" not in str(receipt.failure)
    assert _dump(migrated) == before


@pytest.mark.parametrize(("table", "event"), PARTS, ids=str)
async def test_where_the_connection_dies_at_any_part_everything_is_deleted_in_the_end(
    postgres_world: Any, migrated: str, table: str, event: str
) -> None:
    world, name = postgres_world, await full(postgres_world)
    dies = "IF nextval('faults') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1); END IF;"
    fault(migrated, table, event, dies)
    receipt = await erase(world.database, CALL_ID, EPOCHS, at=AT)

    assert receipt.erased
    assert sum(part.deleted.rows for part in receipt.parts) == 1 + 1 + 1 + 2 + 2
    assert await world.counts(name) == {"calls": 0, "labels": 0, "evolutions": 0, "escalations": 0}
    assert [escalation.id for escalation in await world.queued()] == ["e1"]
    assert len(await world._rows(select(erasures))) == len(EPOCHS)


@pytest.mark.parametrize(("table", "event"), [part for part in PARTS[2:] if part[0] != "erasures"], ids=str)
async def test_a_withdrawal_that_fails_in_any_part_deletes_nothing(
    postgres_world: Any, migrated: str, table: str, event: str
) -> None:
    name = await full(postgres_world)
    before = _dump(migrated)
    fault(migrated, table, event, "RAISE EXCEPTION 'no';")
    with pytest.raises(StoreError):
        await postgres_world.store.withdraw(name, partition=3, next_offset=9, at=AT)
    assert _dump(migrated) == before


async def test_no_raw_id_is_left_anywhere_in_the_database(postgres_world: Any, migrated: str) -> None:
    name = pseudonym(NEW, CALL_ID)
    await postgres_world.store.save([postgres_world.checkpoint(7, name)])
    await look_up(postgres_world.database, CALL_ID, EPOCHS)
    await erase(postgres_world.database, CALL_ID, EPOCHS, at=AT)

    everything = _dump(migrated)
    assert name in everything
    assert "Mustermann" not in everything
    assert "901820" not in everything


async def test_a_lookup_is_on_record_and_says_which_name_is_known(postgres_world: Any) -> None:
    world, name = postgres_world, pseudonym(OLD, CALL_ID)
    await world.store.save([world.checkpoint(7, name)])

    found = await look_up(world.database, CALL_ID, EPOCHS)

    assert [(each.epoch, each.call, each.known) for each in found] == [
        ("2026-10", name, True),
        ("2026-11", pseudonym(NEW, CALL_ID), False),
    ]
    assert await world.audited() == [("call.looked_up", name)]


async def test_a_lookup_of_an_unknown_call_is_on_record_too(postgres_world: Any) -> None:
    found = await look_up(postgres_world.database, CALL_ID, EPOCHS)

    assert not any(each.known for each in found)
    assert await postgres_world.audited() == [("call.looked_up", None)]


def _dump(url: str) -> str:
    """Every value of every table."""
    with psycopg.connect(url) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
        every = [sql.SQL("SELECT to_jsonb(t) FROM {} t").format(sql.Identifier(name)) for (name,) in names]
        return json.dumps([connection.execute(query).fetchall() for query in every], default=str)


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit"])
async def test_the_audit_trail_refuses_change(postgres_world: Any, migrated: str, statement: str) -> None:
    await look_up(postgres_world.database, CALL_ID, EPOCHS)

    with psycopg.connect(migrated) as connection, pytest.raises(psycopg.Error, match="append-only"):
        connection.execute(statement.encode())
