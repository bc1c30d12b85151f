"""PostgreSQL goes away and comes back, refuses for a while, or refuses for good."""
# ruff: noqa: ANN401 - what a test asks of the two worlds is its type

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.standalone.places import free_port
from services.standalone.postgres import address, server, wait_until_ready
from services.standalone.processes import kill, running
from streams.store.calls import PostgresCalls
from streams.store.database import Database, StoreError

ONE = select(1)


async def one(connection: AsyncConnection) -> int:
    found: int = (await connection.execute(ONE)).scalar_one()
    return found


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.02)


async def test_a_server_that_is_down_is_waited_for_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "streams.store")
    port = free_port()
    program = server(tmp_path, port, durable=False)
    url = address(tmp_path, port)
    database = Database(url, application="test")

    first, second = (asyncio.create_task(database.transaction(one)) for _ in range(2))
    await until(lambda: database.waiting)
    with running(program) as process:
        wait_until_ready(program, process, url)
        assert (await first, await second) == (1, 1)
        assert not database.waiting
        kill(process)
        third = asyncio.create_task(database.transaction(one))
        await until(lambda: database.waiting)
    with running(program) as process:
        wait_until_ready(program, process, url)
        assert await third == 1
        await database.close()

    said = [record.getMessage() for record in caplog.records]
    assert said == ["waiting for PostgreSQL", "PostgreSQL is back"] * 2


async def test_a_connection_that_dies_in_the_middle_is_replaced_and_the_work_done_again(database: Database) -> None:
    tries = []

    async def work(connection: AsyncConnection) -> int:
        tries.append(await one(connection))
        if len(tries) == 1:
            await connection.execute(select(func.pg_terminate_backend(func.pg_backend_pid())))
        return len(tries)

    assert await database.transaction(work) == 2


async def test_a_lock_that_is_held_too_long_is_waited_for(postgres_world: Any, migrated: str) -> None:
    world = postgres_world
    await world.store.save([world.checkpoint(7)])
    impatient = Database(f"{migrated}?options=-c%20lock_timeout%3D50ms", application="test")

    async def lock(connection: AsyncConnection) -> None:
        await connection.execute(text("SELECT FROM call_state FOR UPDATE"))

    with psycopg.connect(migrated) as other:
        other.execute("SELECT FROM call_state FOR UPDATE")
        waits = asyncio.create_task(impatient.transaction(lock))
        await until(lambda: impatient.waiting)
    await waits
    await impatient.close()


async def test_a_cancelled_wait_is_over(tmp_path: Path) -> None:
    database = Database(f"postgresql://127.0.0.1:{free_port()}/none", application="test")
    waits = asyncio.create_task(database.transaction(one))
    await until(lambda: database.waiting)
    waits.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waits
    assert not database.waiting


async def test_a_mistake_of_ours_is_raised_at_once(database: Database) -> None:
    async def work(connection: AsyncConnection) -> None:
        await connection.execute(text("SELECT nothing FROM nowhere"))

    with pytest.raises(StoreError, match=r"UndefinedTable 42P01.*nowhere"):
        await database.transaction(work)
    assert not database.waiting


async def test_a_raw_call_id_is_refused_by_the_database_and_quoted_by_nobody(postgres_world: Any) -> None:
    raw = "+49 30 901820"

    with pytest.raises(StoreError, match="ck_call_state_pseudonym") as refusal:
        await postgres_world.store.save([postgres_world.checkpoint(7, raw)])

    error: BaseException | None = refusal.value
    assert raw not in str(error)
    assert error is not None
    assert error.__suppress_context__


async def test_connections_carry_our_limits_and_the_address_may_change_them(migrated: str) -> None:
    async def limits(connection: AsyncConnection) -> list[str]:
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "application_name")
        return [(await connection.execute(select(func.current_setting(name)))).scalar_one() for name in names]

    ours = Database(migrated, application="segment")
    theirs = Database(f"{migrated}?options=-c%20lock_timeout%3D1s&application_name=mine", application="segment")
    assert await ours.transaction(limits) == ["15s", "5s", "1min", "undertone segment"]
    assert await theirs.transaction(limits) == ["15s", "1s", "1min", "mine"]
    await ours.close()
    await theirs.close()


class Doubting:
    """Runs every transaction twice, as if the reply to its first COMMIT had been lost."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def transaction(self, work: Any) -> Any:
        await self.database.transaction(work)
        return await self.database.transaction(work)


async def test_a_lost_reply_to_a_commit_changes_nothing(postgres_world: Any) -> None:
    world = postgres_world
    doubting = PostgresCalls(Doubting(world.database))  # type: ignore[arg-type] - as far as it is used
    await doubting.save([world.checkpoint(7), world.checkpoint(7, world.OTHER)])
    await world.record([world.label("w1")], [world.escalation("e1")])
    await world.send("e1")
    await doubting.withdraw(world.CALL, partition=3, next_offset=9, at=world.AT)

    assert (await world.store.load([world.OTHER]))[world.OTHER].next_offset == 7
    assert await world.audited() == [("call.withdrawn", world.CALL)]
    assert [each.retracted for each in await world.queued()] == [True]


async def test_writers_of_the_same_calls_in_any_order_never_wait_for_each_other(postgres_world: Any) -> None:
    world = postgres_world
    names = [f"{number:064x}" for number in range(20)]

    async def save(step: int) -> None:
        order = names if step % 2 else names[::-1]
        await world.store.save([world.checkpoint(step, name) for name in order])

    async with asyncio.timeout(60):
        await asyncio.gather(*(save(step) for step in range(1, 21)))

    found = await world.store.load(names)
    assert {stored.next_offset for stored in found.values()} == {20}
