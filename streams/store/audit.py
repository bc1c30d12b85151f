"""The audit trail: who did what to which call, appended and never changed."""

import logging
from collections.abc import AsyncIterator, Mapping
from enum import StrEnum

from sqlalchemy import Text, cast, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from streams.domain import trail
from streams.domain.trail import Entry, Head
from streams.store.database import Database
from streams.store.tables import audit

_log = logging.getLogger(__name__)

_PAGE = 1000
_ENTRY = [cast(column, Text).label("detail") if column.name == "detail" else column for column in audit.c]


class Action(StrEnum):
    """What is put on record."""

    WITHDRAWN = "call.withdrawn"  #: consent was withdrawn: everything of the call was deleted
    ERASED = "call.erased"  #: the same, on request
    ESCALATED = "call.escalated"
    EXPIRED = "calls.expired"  #: calls were deleted because they had been kept for as long as calls are
    LOOKED_UP = "call.looked_up"  #: somebody turned a call id into its pseudonym
    CHAINED = trail.CHAINED  #: by migration 0003: rows before the chain have no hash


class Actor(StrEnum):
    """The stage or command that did it; a person's name never stands here."""

    SEGMENT = "segment"
    ESCALATE = "escalate"
    ERASE = "erase"
    PSEUDONYM = "pseudonym"
    RETENTION = "retention"
    MIGRATION = "migration"


async def append(
    connection: AsyncConnection,
    action: Action,
    actor: Actor,
    *,
    call: str | None = None,
    detail: Mapping[str, str | int] | None = None,
) -> None:
    """Append one row to the trail, in the transaction of what it tells of and as the last thing in it.

    Whoever appends waits for the transaction that appended before, to its end: the row's hash needs that row's.
    """
    row = {"action": action, "actor": actor, "call": call, "detail": dict(detail or {})}
    await connection.execute(insert(audit), row)


async def length(database: Database) -> int:
    """How many rows the trail has."""

    async def work(connection: AsyncConnection) -> int:
        return await connection.scalar(select(func.count()).select_from(audit)) or 0

    return await database.transaction(work)


async def tell_head(database: Database) -> None:
    """Log the trail's head: who can write to every table can cut the trail's end off, but not out of the logs."""
    last = select(audit.c.id, audit.c.hash).where(audit.c.hash.is_not(None)).order_by(audit.c.id.desc()).limit(1)

    async def work(connection: AsyncConnection) -> Head | None:
        found = (await connection.execute(last)).first()
        return found and Head(found.id, found.hash)

    if (head := await database.transaction(work)) is not None:
        _log.info("the audit trail's head, for `undertone audit verify --head`", extra={"head": str(head)})


async def pages(database: Database) -> AsyncIterator[list[Entry]]:
    """The trail from its beginning, a page at a time, with what is appended meanwhile."""
    after = -(2**63)  # a row with an id that no sequence draws is read too
    while page := await _page(database, after):
        yield page
        after = page[-1].id


async def _page(database: Database, after: int) -> list[Entry]:
    query = select(*_ENTRY).where(audit.c.id > after).order_by(audit.c.id).limit(_PAGE)

    async def work(connection: AsyncConnection) -> list[Entry]:
        return [Entry(**row) for row in (await connection.execute(query)).mappings()]

    return await database.transaction(work)
