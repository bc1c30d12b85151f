"""What PostgreSQL knows of how the stream is doing, in one look."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from streams.domain.records import Outcome
from streams.store.database import Database
from streams.store.tables import call_state, calls, escalations, labels, outbox


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """Counts over the rows that are kept; times are None where there is no such row."""

    calls: int
    open_calls: int
    oldest_checkpoint_at: datetime | None  #: of the open call whose state has stood still for longest
    tombstones: int
    labels: dict[str, int]  #: outcome -> windows
    escalations: int
    unsent: int
    oldest_unsent_at: datetime | None


async def store_status(database: Database) -> StoreStatus:
    """Ask for everything in one transaction."""
    return await database.transaction(_read)


async def _read(connection: AsyncConnection) -> StoreStatus:
    is_open, is_unsent = call_state.c.closed.is_(None), outbox.c.sent_at.is_(None)
    states = select(
        func.count().filter(is_open), func.min(call_state.c.saved_at).filter(is_open), func.count().filter(~is_open)
    ).select_from(call_state)
    waiting = select(func.count(), func.min(outbox.c.created_at)).where(is_unsent)
    outcomes = select(labels.c.outcome, func.count()).group_by(labels.c.outcome)
    open_calls, oldest_checkpoint_at, tombstones = (await connection.execute(states)).one()
    unsent, oldest_unsent_at = (await connection.execute(waiting)).one()
    found = {outcome: count for outcome, count in await connection.execute(outcomes)}  # noqa: C416 - rows, no pairs
    return StoreStatus(
        calls=await connection.scalar(select(func.count()).select_from(calls)) or 0,
        open_calls=open_calls,
        oldest_checkpoint_at=oldest_checkpoint_at,
        tombstones=tombstones,
        labels={outcome.value: found.get(outcome.value, 0) for outcome in Outcome},
        escalations=await connection.scalar(select(func.count()).select_from(escalations)) or 0,
        unsent=unsent,
        oldest_unsent_at=oldest_unsent_at,
    )
