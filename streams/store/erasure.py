"""Everything of one call erased on request, and a receipt that says when the topics will have lost it too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from uuid import uuid4

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from streams.domain.privacy import Epoch, pseudonym
from streams.store import audit
from streams.store.audit import Action, Actor
from streams.store.database import Database, StoreError
from streams.store.deletion import Deleted, delete_call
from streams.store.tables import Closing, erasures
from streams.topics import TOPICS, life

NEVER = datetime(9998, 1, 1, tzinfo=UTC)  #: stored where a topic keeps its records for ever
Lives = Mapping[str, timedelta | None]  #: topic -> how long a record can live there; None: for ever

#: On a broker that has the topics as declared, and Kafka's own delays.
DECLARED: Lives = MappingProxyType({topic.name: life(topic.config) for topic in TOPICS})


@dataclass(frozen=True, slots=True)
class Erased:
    """What was found under one epoch's pseudonym."""

    epoch: str
    call: str
    deleted: Deleted


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was deleted at once, and when each topic has deleted the last record that was written before `erased_at`.

    All of it or nothing: with a `failure` nothing was deleted, and the receipt is on record nowhere.
    """

    id: str
    erased_at: datetime
    parts: tuple[Erased, ...]
    gone_at: Mapping[str, datetime | None]  #: None: the broker keeps the topic's records for ever
    failure: str | None = None

    @property
    def erased(self) -> bool:
        """Whether nothing of the call is left in PostgreSQL."""
        return self.failure is None

    @property
    def known(self) -> bool:
        """Whether anything of the call was in PostgreSQL."""
        return any(part.deleted.rows for part in self.parts)


async def erase(
    database: Database, call_id: str, epochs: Sequence[Epoch], *, at: datetime, lives: Lives = DECLARED
) -> Receipt:
    """Erase the call under every epoch, in one transaction; a tombstone each keeps it from coming back.

    Right also for a call that is running, that nobody has read yet, or that was withdrawn before.
    """
    receipt_id = str(uuid4())
    gone = {topic: at + lived if lived is not None else None for topic, lived in lives.items()}
    last = max((moment or NEVER for moment in gone.values()), default=at)
    names = sorted((pseudonym(epoch, call_id), epoch.id) for epoch in epochs)
    tries: list[tuple[Erased, ...]] = []

    async def work(connection: AsyncConnection) -> tuple[Erased, ...]:
        if tries and await _is_written(connection, receipt_id):
            return tries[-1]  # it was the reply to its COMMIT that got lost
        parts = [Erased(epoch, call, await _erase(connection, call)) for call, epoch in names]
        rows = [_row(part, receipt_id, at, last) for part in parts]
        await connection.execute(insert(erasures), rows)
        for part in parts:
            await audit.append(connection, Action.ERASED, Actor.ERASE, call=part.call)
        tries.append(tuple(parts))
        return tries[-1]

    try:
        return Receipt(receipt_id, at, await database.transaction(work), gone)
    except StoreError as error:
        return Receipt(receipt_id, at, (), gone, failure=str(error))


async def count_erasures(database: Database, at: datetime) -> dict[str, int]:
    """How many erasures are on record: `waiting` for the topics to lose what they hold, and `complete`."""
    every = func.count(erasures.c.id.distinct())
    asked = select(every.filter(erasures.c.gone_at > at), every.filter(erasures.c.gone_at <= at))

    async def work(connection: AsyncConnection) -> dict[str, int]:
        waiting, complete = (await connection.execute(asked)).one()
        return {"waiting": waiting, "complete": complete}

    return await database.transaction(work)


async def _erase(connection: AsyncConnection, call: str) -> Deleted:
    deleted = await delete_call(connection, call, Closing.ERASED, partition=None, next_offset=0)
    return deleted or Deleted()


async def _is_written(connection: AsyncConnection, receipt_id: str) -> bool:
    found = select(erasures.c.call).where(erasures.c.id == receipt_id).limit(1)
    return (await connection.execute(found)).first() is not None


def _row(part: Erased, receipt_id: str, at: datetime, gone_at: datetime) -> dict[str, object]:
    return {
        "id": receipt_id,
        "call": part.call,
        "epoch": part.epoch,
        "erased_at": at,
        "deleted": part.deleted.rows,
        "gone_at": gone_at,
    }
