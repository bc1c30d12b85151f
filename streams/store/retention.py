"""What is deleted because it has served: old calls, tombstones, sent outbox rows, old attempts."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from sqlalchemy import ColumnElement, Table, delete, exists, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from streams.store import audit
from streams.store.audit import Action, Actor
from streams.store.database import Database
from streams.store.tables import attempts, call_state, calls, escalations, evolutions, labels, outbox
from streams.topics import CALLS, LABELS

#: Twice as long as a record of the call can be read again.
TOMBSTONE = 2 * timedelta(milliseconds=int(CALLS.config["retention.ms"]))
#: A sent row holds what was sent; that it is gone tells a withdrawal the same as that it is marked.
SENT = timedelta(hours=1)
#: As long as a record that a worker could die at can be read again.
ATTEMPT = timedelta(milliseconds=int(LABELS.config["retention.ms"]))

_BATCH = 1000
_CALLS = 100  #: with all that is said of them


async def prune(database: Database, kept: timedelta) -> dict[str, int]:
    """Delete what is past its time, some rows a transaction; table -> rows deleted.

    `kept`: how long a call's row, labels, evolution and escalations stay after the last that was saved of it.
    """
    return {
        "calls": await _repeat(database, lambda connection: _expire(connection, kept), _CALLS),
        "call_state": await _prune(database, call_state, _before(call_state, "saved_at", TOMBSTONE) & ~_HAS_ROW),
        "outbox": await _prune(database, outbox, _before(outbox, "sent_at", SENT)),
        "attempts": await _prune(database, attempts, _before(attempts, "tried_at", ATTEMPT)),
    }


#: As long as its row stays its id must open no other call, whose labels would be taken for its own.
_HAS_ROW = exists().where(calls.c.call == call_state.c.call)


def _before(table: Table, column: str, age: timedelta) -> ColumnElement[bool]:
    return table.c[column] < func.now() - age


async def _expire(connection: AsyncConnection, kept: timedelta) -> int:
    """Delete calls that have ended, or stood still: a state that no key opens never ends."""
    saved_since = exists().where(call_state.c.call == calls.c.call, call_state.c.saved_at >= func.now() - kept)
    due = select(calls.c.call).where(_before(calls, "started_at", kept) & ~saved_since).order_by(calls.c.call)
    batch = due.limit(_CALLS).with_for_update(of=calls, skip_locked=True)
    expired = (await connection.execute(batch)).scalars().all()
    if expired:
        for table in (labels, evolutions, escalations, outbox, calls):
            await connection.execute(delete(table).where(table.c.call.in_(expired)))
        await audit.append(connection, Action.EXPIRED, Actor.RETENTION, detail={"calls": len(expired)})
    return len(expired)


async def _prune(database: Database, table: Table, due: ColumnElement[bool]) -> int:
    key = tuple_(*table.primary_key)
    batch = select(*table.primary_key).where(due).limit(_BATCH).with_for_update(of=table, skip_locked=True)

    async def work(connection: AsyncConnection) -> int:
        return (await connection.execute(delete(table).where(key.in_(batch)))).rowcount

    return await _repeat(database, work, _BATCH)


async def _repeat(database: Database, work: Callable[[AsyncConnection], Awaitable[int]], batch: int) -> int:
    """Do it until a transaction deletes less than a whole batch; how many were deleted."""
    total = deleted = await database.transaction(work)
    while deleted == batch:
        deleted = await database.transaction(work)
        total += deleted
    return total
