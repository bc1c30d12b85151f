"""Escalations on their way to Kafka: at least once, and in order per call however many relays run."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from streams.domain.records import Escalation
from streams.store.database import Database
from streams.store.tables import outbox

Send = Callable[[Sequence[Escalation]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class PostgresOutbox:
    """The `Outbox` in PostgreSQL."""

    database: Database
    clock: Callable[[], datetime]

    async def deliver(self, send: Send, *, limit: int) -> int:
        """Claim, then send under lock, then mark.

        The claim is committed before anything is sent: a withdrawal that finds it retracts the escalation, as it
        may be out even where the mark never came to be written.
        """
        claimed = await self.database.transaction(lambda connection: self._claim(connection, limit))
        if not claimed:
            return 0
        return await self.database.transaction(lambda connection: self._send(connection, claimed, send))

    async def _claim(self, connection: AsyncConnection, limit: int) -> list[int]:
        oldest = select(outbox.c.id).where(_first_of_its_call()).order_by(outbox.c.id).limit(limit)
        ids = list((await connection.execute(oldest.with_for_update(skip_locked=True))).scalars())
        if ids:
            untried = update(outbox).where(outbox.c.id.in_(ids), outbox.c.tried_at.is_(None))
            await connection.execute(untried.values(tried_at=self.clock()))
        return ids

    async def _send(self, connection: AsyncConnection, claimed: Sequence[int], send: Send) -> int:
        unsent = select(outbox.c.id, outbox.c.escalation).where(outbox.c.id.in_(claimed), outbox.c.sent_at.is_(None))
        rows = (await connection.execute(unsent.order_by(outbox.c.id).with_for_update(skip_locked=True))).all()
        if rows:
            escalations = {row.id: msgspec.convert(row.escalation, Escalation) for row in rows}
            await send(list(escalations.values()))
            retracted = [id_ for id_, escalation in escalations.items() if escalation.retracted]
            # Of a call that was withdrawn nothing stays, not even that there was something to retract.
            await connection.execute(delete(outbox).where(outbox.c.id.in_(retracted)))
            sent = update(outbox).where(outbox.c.id.in_(escalations.keys() - set(retracted)))
            await connection.execute(sent.values(sent_at=self.clock()))
        return len(rows)


def _first_of_its_call() -> ColumnElement[bool]:
    """Unsent, and nothing of the same call is unsent before it, locked by another relay or not."""
    earlier = outbox.alias()
    before = exists().where(earlier.c.call == outbox.c.call, earlier.c.id < outbox.c.id, earlier.c.sent_at.is_(None))
    return outbox.c.sent_at.is_(None) & ~before
