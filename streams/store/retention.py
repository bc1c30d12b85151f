"""What is deleted because it has served: tombstones, sent outbox rows, old attempts."""

from datetime import timedelta

from sqlalchemy import ColumnElement, Table, delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from streams.store.database import Database
from streams.store.tables import attempts, call_state, outbox
from streams.topics import CALLS, LABELS

#: Twice as long as a record of the call can be read again.
TOMBSTONE = 2 * timedelta(milliseconds=int(CALLS.config["retention.ms"]))
#: A sent row holds what was sent; that it is gone tells a withdrawal the same as that it is marked.
SENT = timedelta(hours=1)
#: As long as a record that a worker could die at can be read again.
ATTEMPT = timedelta(milliseconds=int(LABELS.config["retention.ms"]))

_BATCH = 1000


async def prune(database: Database) -> dict[str, int]:
    """Delete what is past its time, a thousand rows a transaction; table -> rows deleted."""
    return {
        "call_state": await _prune(database, call_state, _before(call_state, "saved_at", TOMBSTONE) & _CLOSED),
        "outbox": await _prune(database, outbox, _before(outbox, "sent_at", SENT)),
        "attempts": await _prune(database, attempts, _before(attempts, "tried_at", ATTEMPT)),
    }


_CLOSED = call_state.c.closed.is_not(None)


def _before(table: Table, column: str, age: timedelta) -> ColumnElement[bool]:
    return table.c[column] < func.now() - age


async def _prune(database: Database, table: Table, due: ColumnElement[bool]) -> int:
    key = tuple_(*table.primary_key)
    batch = select(*table.primary_key).where(due).limit(_BATCH).with_for_update(skip_locked=True)

    async def work(connection: AsyncConnection) -> int:
        return (await connection.execute(delete(table).where(key.in_(batch)))).rowcount

    total = deleted = await database.transaction(work)
    while deleted == _BATCH:
        deleted = await database.transaction(work)
        total += deleted
    return total
