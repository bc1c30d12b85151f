"""The segment stage's side of PostgreSQL: calls, checkpoints, withdrawals."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ARRAY, ColumnElement, Select, Text, any_, bindparam, cast, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from streams.domain.records import Purpose
from streams.ports import Call, Checkpoint, Stored
from streams.store import audit
from streams.store.audit import Action, Actor
from streams.store.database import Database
from streams.store.deletion import delete_call
from streams.store.tables import Closing, call_state, calls

_STORED = select(call_state.c.call, call_state.c.next_offset, call_state.c.state, call_state.c.closed)


class PostgresCalls:
    """The `CallStore` over PostgreSQL. Every method waits while the server is down."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, calls: Collection[str]) -> dict[str, Stored]:
        """The stored calls among these pseudonyms, tombstones included."""
        return {stored.call: stored for stored in await self._read(_STORED.where(_among(calls)))}

    async def load_partition(self, partition: int) -> list[Stored]:
        """Every call of the partition that is not closed."""
        own = call_state.c.partition == partition
        return await self._read(_STORED.where(own, call_state.c.closed.is_(None)).order_by(call_state.c.call))

    async def save(self, checkpoints: Sequence[Checkpoint]) -> frozenset[str]:
        """One transaction: rows and states, each only where its `next_offset` grows and the call is not closed.

        Where it stands still, `turn_at` is written all the same. Returns the calls that were refused because they are
        closed already.
        """
        latest = {saved.call.call: saved for saved in sorted(checkpoints, key=lambda saved: saved.next_offset)}
        if not latest:
            return frozenset()

        async def work(connection: AsyncConnection) -> tuple[frozenset[str], frozenset[str]]:
            advanced = await _advance(connection, [latest[call] for call in sorted(latest)])
            if advanced:
                await connection.execute(_WRITE_CALL, [_call_row(latest[call].call) for call in advanced])
            standing = latest.keys() - set(advanced)
            return frozenset(standing), await _closed(connection, standing)

        standing, closed = await self._database.transaction(work)
        await self._tell_turns([latest[call] for call in sorted(standing - closed)])
        return closed

    async def _tell_turns(self, checkpoints: Sequence[Checkpoint]) -> None:
        """Write `turn_at` alone; in a transaction of its own, so that rows of calls are locked in order."""
        if not checkpoints:
            return
        turns = [
            {"of": saved.call.call, "offset": saved.next_offset, "began": saved.call.turn_at} for saved in checkpoints
        ]

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(_WRITE_TURN, turns)

        await self._database.transaction(work)

    async def withdraw(self, call: str, *, partition: int, next_offset: int, at: datetime) -> None:
        """One transaction: delete everything of the call, leave tombstone, audit row and retractions."""

        async def work(connection: AsyncConnection) -> None:
            deleted = await delete_call(
                connection, call, Closing.WITHDRAWN, partition=partition, next_offset=next_offset
            )
            if deleted is not None:
                # Counts stay out of it: how often a call escalated is what was withdrawn.
                said = {"withdrawn_at": at.isoformat()}
                await audit.append(connection, Action.WITHDRAWN, Actor.SEGMENT, call=call, detail=said)

        await self._database.transaction(work)

    async def _read(self, query: Select[Any]) -> list[Stored]:
        async def work(connection: AsyncConnection) -> list[Stored]:
            rows = (await connection.execute(query)).all()
            return [Stored(row.call, row.next_offset, bytes(row.state), row.closed is not None) for row in rows]

        return await self._database.transaction(work)


_NEW_STATE = upsert(call_state)
#: A call that was idle ends without a further record.
_GROWS = (call_state.c.next_offset < _NEW_STATE.excluded.next_offset) | (
    (call_state.c.next_offset == _NEW_STATE.excluded.next_offset) & _NEW_STATE.excluded.closed.is_not(None)
)
_WRITE_STATE = _NEW_STATE.on_conflict_do_update(
    index_elements=[call_state.c.call],
    set_={
        **{name: _NEW_STATE.excluded[name] for name in ("partition", "next_offset", "state", "closed")},
        "saved_at": func.clock_timestamp(),
    },
    where=_GROWS & call_state.c.closed.is_(None),
).returning(call_state.c.call)

_NEW_CALL = upsert(calls)
_WRITE_CALL = _NEW_CALL.on_conflict_do_update(
    index_elements=[calls.c.call],
    set_={column.name: _NEW_CALL.excluded[column.name] for column in calls.c if not column.primary_key},
)

_WRITE_TURN = (
    update(calls)
    .where(calls.c.call == bindparam("of"), calls.c.turn_at.is_distinct_from(bindparam("began")))
    .where(call_state.c.call == calls.c.call, call_state.c.next_offset == bindparam("offset"))
    .where(call_state.c.closed.is_(None))
    .values(turn_at=bindparam("began"))
)


async def _advance(connection: AsyncConnection, checkpoints: Sequence[Checkpoint]) -> list[str]:
    """Write the states; the calls among them that moved on, in order. Their rows are ours until the commit."""
    rows = [
        {
            "call": saved.call.call,
            "partition": saved.partition,
            "next_offset": saved.next_offset,
            "state": b"" if saved.closed else saved.state,
            "closed": Closing.ENDED if saved.closed else None,
        }
        for saved in checkpoints
    ]
    return sorted((await connection.execute(_WRITE_STATE, rows)).scalars())


async def _closed(connection: AsyncConnection, refused: Collection[str]) -> frozenset[str]:
    """Those that stand still because they are over. A COMMIT whose reply was lost makes its own closings appear."""
    if not refused:
        return frozenset()
    over = select(call_state.c.call).where(_among(refused), call_state.c.closed.is_not(None))
    return frozenset((await connection.execute(over)).scalars())


def _among(calls: Collection[str]) -> ColumnElement[bool]:
    return call_state.c.call == any_(cast(sorted(calls), ARRAY(Text)))


def _call_row(call: Call) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(call, builtin_types=(datetime,))
    for name in ("notice", "consents"):  # JSON, times included
        row[name] = msgspec.to_builtins(getattr(call, name))
    alerting = call.consents.get(Purpose.ALERTING)
    in_force = call.consent_seq is not None and alerting is not None
    row["consent_expires_at"] = alerting.expires_at if alerting is not None and in_force else None
    return row
