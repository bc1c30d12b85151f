"""Attempts at records, kept outside the process that a record may kill."""

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from streams.store.database import Database
from streams.store.tables import attempts


class PostgresAttempts:
    """`Attempts` in PostgreSQL. A lost COMMIT reply counts an attempt twice: compare with a margin, not with one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, topic: str, partition: int, offset: int) -> int:
        """Count one more attempt, in a transaction of its own; the count."""
        first = upsert(attempts).values(topic=topic, partition=partition, offset=offset, count=1)
        again = first.on_conflict_do_update(
            index_elements=list(attempts.primary_key), set_={"count": attempts.c.count + 1}
        )

        async def work(connection: AsyncConnection) -> int:
            count: int = (await connection.execute(again.returning(attempts.c.count))).scalar_one()
            return count

        return await self._database.transaction(work)

    async def done(self, topic: str, partition: int, next_offset: int) -> None:
        """Forget the attempts at every record below `next_offset`."""
        below = (attempts.c.topic == topic) & (attempts.c.partition == partition) & (attempts.c.offset < next_offset)

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(delete(attempts).where(below))

        await self._database.transaction(work)
