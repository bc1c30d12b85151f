"""Labels and escalations: consent, rows, evolution, rule, escalation, audit and outbox row in one transaction."""

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import Column, RowMapping, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from streams.domain import evolution, scoring, tail
from streams.domain.evolution import Meaning
from streams.domain.records import Consent, Escalation, Label, Notice, Outcome, Purpose, Window
from streams.domain.rules import Rule
from streams.domain.schemes import Scheme
from streams.ports import Recorded
from streams.store import audit, tables
from streams.store.audit import Action, Actor
from streams.store.database import Database
from streams.store.evolutions import evolve
from streams.store.label_rows import all_labels, last_labels

logger = logging.getLogger(__name__)

_OPEN = (tables.calls.c.call, tables.calls.c.consent_seq, tables.calls.c.consent_expires_at)
TAIL = 64  #: labelled windows before the new ones that decide, as long as they can tell
_TIMES = {"spoken_at", "raised_at"}


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The `OutcomeStore` in PostgreSQL.

    `rules` and `schemes` are those of each use case; `clock` says when an escalation is raised, `trace_of` what trace
    the outbox keeps of the window that raised it.
    """

    database: Database
    rules: Mapping[str, Sequence[Rule]]
    schemes: Mapping[str, Scheme]
    clock: Callable[[], datetime]
    trace_of: Callable[[str], str | None] = lambda _: None

    async def open_windows(self, windows: Sequence[Window]) -> frozenset[str]:
        """Ask once for the whole batch."""

        async def work(connection: AsyncConnection) -> frozenset[str]:
            asked = select(*_OPEN).where(tables.calls.c.call.in_(_calls(windows)))
            rows = {row["call"]: row for row in (await connection.execute(asked)).mappings()}
            return frozenset(window.id for window in windows if _allowed(rows.get(window.call), window))

        return await self.database.transaction(work) if windows else frozenset()

    async def record(self, labels: Sequence[Label]) -> Recorded:
        """Make one transaction of the batch; deterministic given the database and the clock."""

        async def work(connection: AsyncConnection) -> Recorded:
            rows = await _lock(connection, _calls(labels))
            allowed = [label for label in labels if _allowed(rows.get(label.call), label)]
            written = await _insert(connection, tables.labels.c.window_id, [_row(label) for label in allowed])
            stored = [label for label in allowed if label.window_id in written]
            await evolve(connection, stored, self._meanings(rows))
            new = _new(stored)
            due = await self._due(connection, {call: rows[call] for call in sorted(new)}, new)
            raised = await _raise(connection, due, self.trace_of)
            refused = {label.window_id for label in labels} - {label.window_id for label in allowed}
            return Recorded(written, frozenset(refused), tuple(raised))

        if not labels:
            return Recorded(frozenset(), frozenset(), ())
        return await self.database.transaction(work)

    def _meanings(self, calls: Mapping[str, RowMapping]) -> dict[str, Meaning]:
        """How each call's classes are read; a call whose use case does not tell is missing."""
        known = {name: evolution.meaning(scheme) for name, scheme in self.schemes.items()}
        found = {call: known.get(row["use_case"]) for call, row in calls.items()}
        return {call: means for call, means in found.items() if means is not None}

    async def _due(
        self, connection: AsyncConnection, calls: Mapping[str, RowMapping], new: Mapping[str, set[str]]
    ) -> list[Escalation]:
        """What the rules ask for: by the last rows of each call where these can tell, else by all of them."""
        ruled = {call: row for call, row in calls.items() if row["use_case"] in self.rules}
        if len(ruled) < len(calls):
            lacking = sorted({row["use_case"] for row in calls.values()} - self.rules.keys())
            logger.warning("labels of use cases that are not installed: no rule applies", extra={"use_cases": lacking})
        limit, at = TAIL + max(map(len, new.values()), default=0), self.clock()
        last, raised = await last_labels(connection, ruled, limit), await _raised(connection, ruled)

        def due(call: str, labels: Sequence[Label], *, whole: bool) -> list[Escalation] | None:
            row = ruled[call]
            return tail.due(
                self.rules[row["use_case"]],
                labels,
                new[call],
                raised[call],
                whole=whole,
                consent=_consent(row),
                reference=row["reference"],
                at=at,
            )

        found = {call: due(call, last[call], whole=len(last[call]) < limit) for call in ruled}
        unclear = [call for call, escalations in found.items() if escalations is None]
        every = await all_labels(connection, unclear)
        found |= {call: due(call, every[call], whole=True) for call in unclear}
        return [escalation for escalations in found.values() for escalation in escalations or ()]


def _calls(records: Sequence[Window | Label]) -> list[str]:
    return sorted({record.call for record in records})


def _allowed(row: RowMapping | None, record: Window | Label) -> bool:
    return row is not None and scoring.allowed(record, row["consent_seq"], row["consent_expires_at"])


def _new(written: Sequence[Label]) -> dict[str, set[str]]:
    """The labelled windows among these, by call; a call of which none is has an empty set."""
    new: dict[str, set[str]] = {label.call: set() for label in written}
    for label in written:
        if label.outcome is Outcome.LABELLED:
            new[label.call].add(label.window_id)
    return new


async def _lock(connection: AsyncConnection, calls: Sequence[str]) -> dict[str, RowMapping]:
    """Hold the calls' rows until the commit: against a withdrawal, and against another worker's evaluation.

    Not `FOR SHARE`: two workers that hold one call between them (one of them evicted, and unaware) would each
    evaluate the rule without the rows of the other.
    """
    held = select(tables.calls).where(tables.calls.c.call.in_(calls)).order_by(tables.calls.c.call)
    rows = await connection.execute(held.with_for_update(key_share=True))
    return {row["call"]: row for row in rows.mappings()}


async def _insert(
    connection: AsyncConnection, key: Column[str], rows: Sequence[Mapping[str, object]]
) -> frozenset[str]:
    """Insert the rows that are not there; the keys of those inserted. On a conflict the stored row stands."""
    if not rows:
        return frozenset()
    first_writer = insert(key.table).on_conflict_do_nothing(index_elements=[key]).returning(key)
    inserted = await connection.execute(first_writer, sorted(rows, key=lambda row: str(row[key.name])))
    return frozenset(inserted.scalars())


async def _raised(connection: AsyncConnection, calls: Collection[str]) -> Mapping[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    if calls:
        table = tables.escalations
        for call, id_ in await connection.execute(select(table.c.call, table.c.id).where(table.c.call.in_(calls))):
            found[call].add(id_)
    return found


def _consent(row: RowMapping) -> Consent:
    notice = msgspec.convert(row["notice"], Notice | None)
    return scoring.told(msgspec.convert(row["consents"][Purpose.ALERTING], Consent), notice)


async def _raise(
    connection: AsyncConnection, due: Sequence[Escalation], trace_of: Callable[[str], str | None]
) -> list[Escalation]:
    """Insert escalations, and for each new one its outbox row and its audit row."""
    rows = [_row(escalation) for escalation in due]
    for row in rows:
        del row["retracted"]  # what is retracted has no row
    new = await _insert(connection, tables.escalations.c.id, rows)
    raised = [escalation for escalation in due if escalation.id in new]
    if raised:
        queued = [_outbox(escalation, trace_of(escalation.window_ids[-1])) for escalation in raised]
        await connection.execute(insert(tables.outbox), queued)
    for escalation in raised:
        # The trail outlives a withdrawal, so it says that there was one and not of which call: that a call escalated
        # is what was withdrawn. The escalation's id would lead back to the call, which it is derived from.
        said = {"use_case": escalation.use_case}
        await audit.append(connection, Action.ESCALATED, Actor.ESCALATE, detail=said)
    return raised


def _row(record: Label | Escalation) -> dict[str, object]:
    """The record as its table takes it: times as they are, what is nested as JSON."""
    row: dict[str, object] = msgspec.to_builtins(record)
    for name in _TIMES & row.keys():
        row[name] = getattr(record, name)
    return row


def _outbox(escalation: Escalation, trace: str | None) -> dict[str, object]:
    return {
        "call": escalation.call,
        "escalation_id": escalation.id,
        "escalation": msgspec.to_builtins(escalation),
        "traceparent": trace,
    }
