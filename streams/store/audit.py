"""The audit trail: who did what to which call, appended and never changed."""

from collections.abc import Mapping
from enum import StrEnum

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from streams.store.tables import audit


class Action(StrEnum):
    """What is put on record."""

    WITHDRAWN = "call.withdrawn"  #: consent was withdrawn: everything of the call was deleted
    ERASED = "call.erased"  #: the same, on request
    ESCALATED = "call.escalated"
    LOOKED_UP = "call.looked_up"  #: somebody turned a call id into its pseudonym


class Actor(StrEnum):
    """The stage or command that did it; a person's name never stands here."""

    SEGMENT = "segment"
    ESCALATE = "escalate"
    ERASE = "erase"
    PSEUDONYM = "pseudonym"


async def append(
    connection: AsyncConnection,
    action: Action,
    actor: Actor,
    *,
    call: str | None = None,
    detail: Mapping[str, str | int] | None = None,
) -> None:
    """Append one row to the trail, in the transaction of what it tells of."""
    row = {"action": action, "actor": actor, "call": call, "detail": dict(detail or {})}
    await connection.execute(insert(audit), row)
