"""What PostgreSQL holds of the demo's calls, in one look."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.standalone.demo.board import Kept
from streams.store.database import Database
from streams.store.tables import call_state, calls, escalations, labels, outbox

Fates = Mapping[str, Mapping[str, int]]  #: "0 agent" -> fate -> ms


@dataclass(frozen=True, slots=True)
class Stored:
    """Rows by call (a pseudonym), and what holds for all of them together."""

    over: frozenset[str]
    fates: Mapping[str, Fates]
    outcomes: Mapping[str, Mapping[str, int]]  #: call -> outcome -> label rows
    escalations: Mapping[str, int]
    unsent: int
    last_effect_at: datetime | None
    bundles: tuple[str, ...]  #: sha256 of each bundle that labelled
    version: str  #: of PostgreSQL

    def kept(self) -> list[Kept]:
        """The same as events for the board."""
        return [
            Kept(
                call,
                heard_ms=max((sum(ms.values()) for ms in fates.values()), default=0),
                rows=sum(self.outcomes.get(call, {}).values()),
                over=call in self.over,
            )
            for call, fates in self.fates.items()
        ]


async def read(database: Database, names: Collection[str]) -> Stored:
    """Read all of it in one transaction."""
    return await database.transaction(lambda connection: _read(connection, names))


async def _read(connection: AsyncConnection, names: Collection[str]) -> Stored:
    known = (await connection.execute(select(calls).where(calls.c.call.in_(names)))).all()
    counted = select(labels.c.call, labels.c.outcome, func.count().label("rows")).where(labels.c.call.in_(names))
    outcomes: dict[str, dict[str, int]] = {}
    for row in await connection.execute(counted.group_by(labels.c.call, labels.c.outcome)):
        outcomes.setdefault(row.call, {})[row.outcome] = row.rows
    raised = select(escalations.c.call, func.count().label("rows")).where(escalations.c.call.in_(names))
    bundles = select(labels.c.bundle).where(labels.c.call.in_(names)).distinct().order_by(labels.c.bundle)
    unsent = select(func.count()).select_from(outbox).where(outbox.c.sent_at.is_(None))
    return Stored(
        over=frozenset(row.call for row in known if row.ended_at is not None),
        fates={row.call: row.fates for row in known},
        outcomes=outcomes,
        escalations={row.call: row.rows for row in await connection.execute(raised.group_by(escalations.c.call))},
        unsent=await connection.scalar(unsent) or 0,
        last_effect_at=await _last(connection, names),
        bundles=tuple((await connection.execute(bundles)).scalars()),
        version=str(await connection.scalar(select(func.current_setting("server_version")))),
    )


async def _last(connection: AsyncConnection, names: Collection[str]) -> datetime | None:
    """When the last row of these calls was written: label, escalation, its sending, the call's end."""
    columns: tuple[ColumnElement[Any], ...] = (
        labels.c.labelled_at,
        escalations.c.raised_at,
        outbox.c.sent_at,
        call_state.c.saved_at,
    )
    times = [
        await connection.scalar(select(func.max(column)).where(column.table.c.call.in_(names))) for column in columns
    ]
    return max((time for time in times if time is not None), default=None)
