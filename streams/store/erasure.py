"""Everything of one call erased on request, and a receipt that says when the topics will have lost it too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from streams.domain.privacy import Epoch, pseudonym
from streams.store import audit
from streams.store.audit import Action, Actor
from streams.store.database import Database
from streams.store.deletion import Deleted, delete_call
from streams.store.tables import Closing, erasures
from streams.topics import DAY_MS, MINUTE_MS, TOPICS, Topic

_KAFKA_SEGMENT_MS = 7 * DAY_MS  #: Kafka's default, where a topic declares none


@dataclass(frozen=True, slots=True)
class BrokerDelays:
    """What the broker adds to a topic's retention; Kafka's defaults."""

    check_interval_ms: int = 5 * MINUTE_MS  #: log.retention.check.interval.ms
    file_delete_ms: int = MINUTE_MS  #: file.delete.delay.ms


@dataclass(frozen=True, slots=True)
class Erased:
    """What was found under one epoch's pseudonym."""

    epoch: str
    call: str
    deleted: Deleted


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was deleted at once, and when each topic has deleted the last record that was written before `erased_at`."""

    id: str
    erased_at: datetime
    parts: tuple[Erased, ...]
    gone_at: Mapping[str, datetime]

    @property
    def known(self) -> bool:
        """Whether anything of the call was in PostgreSQL."""
        return any(part.deleted.rows for part in self.parts)


async def erase(
    database: Database,
    call_id: str,
    epochs: Sequence[Epoch],
    *,
    at: datetime,
    delays: BrokerDelays = BrokerDelays(),
) -> Receipt:
    """Erase the call under every epoch, in one transaction; a tombstone each keeps it from coming back.

    Right also for a call that is running, that nobody has read yet, or that was withdrawn before.
    """
    receipt_id = str(uuid4())
    gone = {topic.name: at + gone_after(topic, delays) for topic in TOPICS}
    names = sorted((pseudonym(epoch, call_id), epoch.id) for epoch in epochs)
    tries: list[tuple[Erased, ...]] = []

    async def work(connection: AsyncConnection) -> tuple[Erased, ...]:
        if tries and await _is_written(connection, receipt_id):
            return tries[-1]  # it was the reply to its COMMIT that got lost
        parts = [Erased(epoch, call, await _erase(connection, call)) for call, epoch in names]
        rows = [_row(part, receipt_id, at, max(gone.values())) for part in parts]
        await connection.execute(insert(erasures), rows)
        for part in parts:
            await audit.append(connection, Action.ERASED, Actor.ERASE, call=part.call)
        tries.append(tuple(parts))
        return tries[-1]

    return Receipt(receipt_id, at, await database.transaction(work), gone)


def gone_after(topic: Topic, delays: BrokerDelays) -> timedelta:
    """How long a record of the topic can live: its segment fills, expires, is noticed and is unlinked."""
    retention_ms = int(topic.config["retention.ms"])
    segment_ms = int(topic.config.get("segment.ms", _KAFKA_SEGMENT_MS))
    return timedelta(milliseconds=retention_ms + segment_ms + delays.check_interval_ms + delays.file_delete_ms)


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
