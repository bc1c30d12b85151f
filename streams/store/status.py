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
    oldest_open_turn_at: datetime | None  #: the log's time of its beginning
    oldest_checkpoint_at: datetime | None  #: of the open call whose state has stood still for longest
    last_checkpoint_at: dict[int, datetime]  #: partition -> of the open call whose state moved last
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
    tombstones = await connection.scalar(select(func.count()).select_from(call_state).where(~is_open)) or 0
    saved_at, of_partition = call_state.c.saved_at, call_state.c.partition
    states = select(of_partition, func.count(), func.min(saved_at), func.max(saved_at)).where(is_open)
    by_partition = (await connection.execute(states.group_by(of_partition))).all()
    waiting = select(func.count(), func.min(outbox.c.created_at)).where(is_unsent)
    outcomes = select(labels.c.outcome, func.count()).group_by(labels.c.outcome)
    unsent, oldest_unsent_at = (await connection.execute(waiting)).one()
    known = select(func.count(), func.min(calls.c.turn_at)).select_from(calls)
    of_calls, oldest_turn_at = (await connection.execute(known)).one()
    found = {outcome: count for outcome, count in await connection.execute(outcomes)}  # noqa: C416 - rows, no pairs
    return StoreStatus(
        calls=of_calls,
        open_calls=sum(count for _, count, _, _ in by_partition),
        oldest_open_turn_at=oldest_turn_at,
        oldest_checkpoint_at=min((oldest for _, _, oldest, _ in by_partition), default=None),
        last_checkpoint_at={partition: last for partition, _, _, last in by_partition},
        tombstones=tombstones,
        labels={outcome.value: found.get(outcome.value, 0) for outcome in Outcome},
        escalations=await connection.scalar(select(func.count()).select_from(escalations)) or 0,
        unsent=unsent,
        oldest_unsent_at=oldest_unsent_at,
    )
