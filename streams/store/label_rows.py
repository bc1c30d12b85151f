"""Rows of `labels` as labels."""

from collections import defaultdict
from collections.abc import Collection, Mapping

import msgspec
from sqlalchemy import select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from streams.domain.records import Label, Outcome
from streams.store import tables

_LABEL = [column for column in tables.labels.c if column.name != "labelled_at"]


async def last_labels(connection: AsyncConnection, calls: Collection[str], limit: int) -> Mapping[str, list[Label]]:
    """The last labelled windows of each call, oldest first."""
    found: defaultdict[str, list[Label]] = defaultdict(list)
    if calls:
        known, table = tables.calls, tables.labels
        own = select(*_LABEL).where(table.c.call == known.c.call, table.c.outcome == Outcome.LABELLED)
        rows = own.order_by(table.c.start_ms.desc()).limit(limit).lateral()
        asked = select(rows).join_from(known, rows, true()).where(known.c.call.in_(calls))
        for row in await connection.execute(asked.order_by(rows.c.start_ms)):
            found[row.call].append(msgspec.convert(row, Label, from_attributes=True))
    return found


async def all_labels(connection: AsyncConnection, calls: Collection[str]) -> Mapping[str, list[Label]]:
    """All windows of each call, judged or not, by `start_ms`."""
    found: defaultdict[str, list[Label]] = defaultdict(list)
    if calls:
        stored = select(*_LABEL).where(tables.labels.c.call.in_(calls)).order_by(tables.labels.c.start_ms)
        for row in await connection.execute(stored):
            found[row.call].append(msgspec.convert(row, Label, from_attributes=True))
    return found
