"""Attempts at records, kept outside the process that a record may kill."""

from collections.abc import Collection

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from streams.store.database import Database
from streams.store.tables import attempts


class PostgresAttempts:
    """`Attempts` in PostgreSQL. A lost COMMIT reply counts an attempt twice: compare with a margin, not with one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pending(self, topic: str, partition: int) -> frozenset[int]:
        """The offsets that were begun and are not done."""
        here = select(attempts.c.offset).where(attempts.c.topic == topic, attempts.c.partition == partition)

        async def work(connection: AsyncConnection) -> frozenset[int]:
            return frozenset((await connection.execute(here)).scalars())

        return await self._database.transaction(work)

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

    async def done(self, topic: str, partition: int, offsets: Collection[int]) -> None:
        """Forget the attempts at these."""
        here = (attempts.c.topic == topic) & (attempts.c.partition == partition)

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(delete(attempts).where(here & attempts.c.offset.in_(offsets)))

        await self._database.transaction(work)
