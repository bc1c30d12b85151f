"""A call's evolution beside its labels: the fold goes on from the row where that tells of all of them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from streams.domain.evolution import Meaning, State, finish, fold
from streams.domain.records import Label
from streams.store.label_rows import all_labels
from streams.store.tables import calls, evolutions, labels


async def evolve(connection: AsyncConnection, written: Sequence[Label], meanings: Mapping[str, Meaning]) -> None:
    """Write the evolutions of the calls of labels that were just inserted; the caller holds the calls' rows.

    `meanings`: call -> how its classes are read; a call that is missing gets no row.
    """
    new: defaultdict[str, list[Label]] = defaultdict(list)
    for label in written:
        if label.call in meanings:
            new[label.call].append(label)
    if not new:
        return
    before = await _stored(connection, sorted(new))
    states = {call: fold(before[call][0], added, meanings[call]) for call, added in new.items()}
    # Labels that a worker of an older release wrote are in no reading.
    behind = sorted(call for call, state in states.items() if len(state.readings) != before[call][1])
    every = await all_labels(connection, behind)
    states |= {call: fold(State(), every[call], meanings[call]) for call in behind}
    await connection.execute(_WRITE, [_row(call, state) for call, state in sorted(states.items())])


async def _stored(connection: AsyncConnection, among: Sequence[str]) -> dict[str, tuple[State, int]]:
    """Call -> its readings so far, and how many labels it has by now."""
    labelled = select(func.count()).where(labels.c.call == calls.c.call).scalar_subquery()
    asked = select(calls.c.call, evolutions.c.readings, labelled).outerjoin(evolutions).where(calls.c.call.in_(among))
    rows = await connection.execute(asked)
    return {call: (msgspec.convert({"readings": readings or ()}, State), count) for call, readings, count in rows}


def _row(call: str, state: State) -> dict[str, object]:
    return {"call": call, **msgspec.to_builtins(state), **msgspec.to_builtins(finish(state))}


_NEW = upsert(evolutions)
_WRITE = _NEW.on_conflict_do_update(
    index_elements=[evolutions.c.call],
    set_={column.name: _NEW.excluded[column.name] for column in evolutions.c if not column.primary_key},
)
