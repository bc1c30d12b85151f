"""Everything of a call deleted, in one transaction, and what must be left behind: tombstone and retractions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import RowMapping, Table, delete, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from streams.domain.records import Escalation
from streams.domain.retraction import retraction
from streams.store.tables import Closing, call_state, calls, escalations, evolutions, labels, outbox

_GONE = (Closing.WITHDRAWN, Closing.ERASED)


@dataclass(frozen=True, slots=True)
class Deleted:
    """How many rows of a call were deleted, and how many escalations that had gone out are retracted."""

    calls: int = 0
    labels: int = 0
    evolutions: int = 0
    escalations: int = 0
    outbox: int = 0
    retracted: int = 0

    @property
    def rows(self) -> int:
        """Rows deleted, over all tables."""
        return self.calls + self.labels + self.evolutions + self.escalations + self.outbox


async def delete_call(
    connection: AsyncConnection, call: str, closing: Closing, *, partition: int | None, next_offset: int
) -> Deleted | None:
    """Leave nothing of the call but its tombstone; None where nothing was left already.

    A relay that is just sending one of the call's escalations is not waited for: the retraction comes after its send.
    """
    if not await _bury(connection, call, closing, partition=partition, next_offset=next_offset):
        return None
    # Against an escalate stage at work on the call: from here on it finds no row and writes nothing.
    await connection.execute(select(calls.c.call).where(calls.c.call == call).with_for_update())
    labelled = await connection.execute(delete(labels).where(labels.c.call == call))
    evolved = await connection.execute(delete(evolutions).where(evolutions.c.call == call))
    raised = await _take(connection, escalations, call)
    queued = await _take(connection, outbox, call)
    known = await connection.execute(delete(calls).where(calls.c.call == call))
    unsent = {row["escalation_id"] for row in queued if row["sent_at"] is None and row["tried_at"] is None}
    gone_out = [row for row in raised if row["id"] not in unsent]
    await _retract(connection, gone_out, {row["escalation_id"]: row["claimed_until"] for row in queued})
    return Deleted(
        calls=known.rowcount,
        labels=labelled.rowcount,
        evolutions=evolved.rowcount,
        escalations=len(raised),
        outbox=len(queued),
        retracted=len(gone_out),
    )


async def _take(connection: AsyncConnection, table: Table, call: str) -> Sequence[RowMapping]:
    """Delete the call's rows of a table, and return them."""
    taken = delete(table).where(table.c.call == call).returning(*table.c)
    return (await connection.execute(taken)).mappings().all()


async def _bury(
    connection: AsyncConnection, call: str, closing: Closing, *, partition: int | None, next_offset: int
) -> bool:
    """Make the call's state a tombstone; False where everything of it was deleted before."""
    tomb = upsert(call_state).values(call=call, partition=partition, next_offset=next_offset, state=b"", closed=closing)
    tomb = tomb.on_conflict_do_update(
        index_elements=[call_state.c.call],
        set_={
            "next_offset": func.greatest(call_state.c.next_offset, tomb.excluded.next_offset),
            "state": b"",
            "closed": closing,
            "saved_at": func.clock_timestamp(),
        },
        where=func.coalesce(call_state.c.closed, "").not_in(_GONE),
    )
    return (await connection.execute(tomb.returning(call_state.c.call))).first() is not None


async def _retract(
    connection: AsyncConnection, gone_out: Sequence[RowMapping], claims: Mapping[str, datetime | None]
) -> None:
    """Queue the retractions; one of an escalation that is being sent is of the same claim, which its relay ends."""
    rows = [
        {
            "call": row["call"],
            "escalation_id": row["id"],
            "escalation": _retraction(row),
            "claimed_until": claims.get(row["id"]),
        }
        for row in sorted(gone_out, key=lambda row: (row["raised_at"], row["id"]))
    ]
    if rows:
        await connection.execute(insert(outbox), rows)


def _retraction(row: RowMapping) -> Any:  # noqa: ANN401 - JSON
    stored = {field.name: row[field.name] for field in fields(Escalation) if field.name in escalations.c}
    return msgspec.to_builtins(retraction(msgspec.convert(stored, Escalation)))
