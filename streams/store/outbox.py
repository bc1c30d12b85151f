"""Escalations on their way to Kafka: at least once, and in order per call however many relays run."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import ColumnElement, delete, exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from streams.domain.records import Escalation
from streams.domain.retraction import retraction
from streams.store.database import Database
from streams.store.tables import escalations, outbox

Send = Callable[[Sequence[Escalation]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Claim:
    """What is ours to send. No two claims end at the same instant, so that `until` says whose a row is too."""

    until: datetime  #: by the database's clock
    deadline: float  #: by the event loop's, and well before: no send goes on after it
    escalations: Mapping[int, Escalation]  #: outbox row -> what is sent, oldest first
    traces: Mapping[str, str]  #: escalation -> the trace that goes on with it, where there is one

    async def send(self, send: Send) -> bool:
        """Whether all of it was acknowledged in time."""
        if asyncio.get_running_loop().time() >= self.deadline:
            return False
        try:
            async with asyncio.timeout_at(self.deadline):
                await send(list(self.escalations.values()))
        except TimeoutError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class PostgresOutbox:
    """The `Outbox` in PostgreSQL."""

    database: Database
    clock: Callable[[], datetime]
    lease_s: float = 20.0  #: how long rows wait for a relay that does not come back: a person waits for them
    send_s: float = 10.0  #: a send that a broker in sight does not end by then is begun anew
    tracing: Callable[[Mapping[str, str]], AbstractContextManager[None]] = lambda _: nullcontext()  #: around a send

    async def deliver(self, send: Send, *, limit: int) -> int:
        """Claim, send, settle; no lock is held while the broker is waited for.

        The claim is committed before anything is sent: a withdrawal that finds it retracts the escalation, as it
        may be out even where the mark never came to be written, and its retraction waits for the claim's end.
        `send` must let nothing out once it is cancelled.
        """
        claim = await self.database.transaction(lambda connection: self._claim(connection, limit))
        if claim is None:
            return 0
        sent = False
        try:
            with self.tracing(claim.traces):
                sent = await claim.send(send)
        finally:
            await self.database.transaction(lambda connection: self._settle(connection, claim, sent=sent))
        return len(claim.escalations) if sent else 0

    async def _claim(self, connection: AsyncConnection, limit: int) -> _Claim | None:
        deadline = asyncio.get_running_loop().time() + self.send_s
        free = or_(outbox.c.claimed_until.is_(None), outbox.c.claimed_until < func.now())
        oldest = select(outbox.c.id).where(_first_of_its_call(), free).order_by(outbox.c.id).limit(limit)
        chosen = oldest.with_for_update(skip_locked=True).cte()
        ours = update(outbox).where(outbox.c.id.in_(select(chosen.c.id))).returning(outbox)
        tried_at = func.coalesce(outbox.c.tried_at, self.clock())
        until = func.now() + timedelta(seconds=self.lease_s)
        rows = (await connection.execute(ours.values(tried_at=tried_at, claimed_until=until))).all()
        if not rows:
            return None
        found = {row.id: msgspec.convert(row.escalation, Escalation) for row in rows}
        traces = {row.escalation_id: row.traceparent for row in rows if row.traceparent is not None}
        return _Claim(rows[0].claimed_until, deadline, dict(sorted(found.items())), traces)

    async def _settle(self, connection: AsyncConnection, claim: _Claim, *, sent: bool) -> None:
        """Mark what was sent and let go of the rest; what was withdrawn meanwhile is retracted after this send."""
        found = select(outbox.c.id).where(outbox.c.id.in_(claim.escalations)).order_by(outbox.c.id)
        there = set((await connection.execute(found.with_for_update())).scalars())
        if sent:
            await self._mark(connection, claim.escalations)
        released = await _release(connection, claim)
        gone = [escalation for id_, escalation in claim.escalations.items() if id_ not in there]
        await _retract(connection, [escalation for escalation in gone if escalation.id not in released])

    async def _mark(self, connection: AsyncConnection, done: Mapping[int, Escalation]) -> None:
        # Of a call that was withdrawn nothing stays, not even that there was something to retract.
        retracted = [id_ for id_, escalation in done.items() if escalation.retracted]
        await connection.execute(delete(outbox).where(outbox.c.id.in_(retracted)))
        await connection.execute(update(outbox).where(outbox.c.id.in_(done)).values(sent_at=self.clock()))


def _first_of_its_call() -> ColumnElement[bool]:
    """Unsent, and nothing of the same call is unsent before it, claimed by another relay or not."""
    earlier = outbox.alias()
    before = exists().where(earlier.c.call == outbox.c.call, earlier.c.id < outbox.c.id, earlier.c.sent_at.is_(None))
    return outbox.c.sent_at.is_(None) & ~before


async def _release(connection: AsyncConnection, claim: _Claim) -> set[str]:
    """Let go of every row of the claim, and of the retractions that a withdrawal put in the place of some."""
    calls = {escalation.call for escalation in claim.escalations.values()}
    ours = outbox.c.call.in_(calls) & (outbox.c.claimed_until == claim.until)
    released = update(outbox).where(ours).values(claimed_until=None).returning(outbox.c.escalation_id)
    return set((await connection.execute(released)).scalars())


async def _retract(connection: AsyncConnection, gone: Sequence[Escalation]) -> None:
    """Retract what was withdrawn and is retracted by another relay already: our send may have come after that.

    A row that is gone while its escalation stands was sent by another relay, and has served.
    """
    ids = [escalation.id for escalation in gone if not escalation.retracted]
    standing = set((await connection.execute(select(escalations.c.id).where(escalations.c.id.in_(ids)))).scalars())
    rows = [
        {"call": each.call, "escalation_id": each.id, "escalation": msgspec.to_builtins(retraction(each))}
        for each in gone
        if not each.retracted and each.id not in standing
    ]
    if rows:
        await connection.execute(insert(outbox), rows)
