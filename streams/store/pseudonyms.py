"""From a raw call id to its pseudonyms: the one way that leads there, and every use of it is on record."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from streams.domain.privacy import Epoch, pseudonym
from streams.store import audit
from streams.store.audit import Action, Actor
from streams.store.database import Database
from streams.store.tables import call_state, calls


@dataclass(frozen=True, slots=True)
class Name:
    """The pseudonym that an epoch gives to a call; `known`: PostgreSQL has a row or a tombstone of it."""

    epoch: str
    call: str
    known: bool


async def look_up(database: Database, call_id: str, epochs: Sequence[Epoch]) -> tuple[Name, ...]:
    """The call's pseudonym under every epoch, known ones first; one audit row a use, naming what was known."""
    names = {pseudonym(epoch, call_id): epoch.id for epoch in epochs}

    async def work(connection: AsyncConnection) -> frozenset[str]:
        rows = select(calls.c.call).where(calls.c.call.in_(names))
        states = select(call_state.c.call).where(call_state.c.call.in_(names))
        known = frozenset((await connection.execute(rows.union(states))).scalars())
        said = {"known": len(known), "epochs": len(names)}
        only = next(iter(known)) if len(known) == 1 else None  # an erased call has a tombstone under every epoch
        await audit.append(connection, Action.LOOKED_UP, Actor.PSEUDONYM, call=only, detail=said)
        return known

    known = await database.transaction(work)
    found = [Name(epoch, call, call in known) for call, epoch in names.items()]
    return tuple(sorted(found, key=lambda name: not name.known))
