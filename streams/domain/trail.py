"""The audit trail as a chain: each row holds the hash of the row before it, so that no row can change unseen.

PostgreSQL makes the hashes as rows come in (migration 0002); this is the other side, which reads the chain again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256

GENESIS = "0" * 64  #: what the first row follows
CHAINED = "trail.chained"  #: the action of the row that says: rows without a hash are from before the chain

_1970 = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the trail; `detail` is JSON as PostgreSQL prints `jsonb`. No hashes: written before the chain began."""

    id: int
    at: datetime
    action: str
    actor: str
    call: str | None
    detail: str
    previous: str | None
    hash: str | None


class Breach(StrEnum):
    """In what way a trail is not what was written."""

    EDITED = "edited"  #: the row's hash is not that of its fields
    DETACHED = "detached"  #: the row does not follow the one before: some were deleted, replaced, put in or moved
    UNCHAINED = "unchained"  #: the row has no hash, and rows before it have
    STRIPPED = "stripped"  #: the row has no hash, and no row of the chain says that any were written before it
    CUT = "cut"  #: the head that was kept is not there: the end was deleted, or all of it was written anew


class BrokenTrailError(ValueError):
    """The trail is not what was written; `id` is the first row that shows it."""

    def __init__(self, id_: int, breach: Breach) -> None:
        super().__init__(f"audit row {id_}: {breach}")
        self.id, self.breach = id_, breach


@dataclass(frozen=True, slots=True)
class Head:
    """The last row of a trail: whoever keeps it elsewhere can tell later that nothing up to it was changed."""

    id: int
    hash: str

    def __str__(self) -> str:
        return f"{self.id}:{self.hash}"


@dataclass(frozen=True, slots=True)
class Walk:
    """How far a trail was found good. `unmet` are heads that were kept and must yet be met."""

    unmet: frozenset[Head] = frozenset()
    head: Head | None = None
    chained: int = 0
    uncovered: int = 0  #: rows from before the chain began
    first_uncovered: int = 0  #: the id of the first of them
    told: bool = False  #: whether a row of the chain says that there are such rows


def digest(entry: Entry, previous: str) -> str:
    """The hash of a row that follows `previous`: SHA-256 over its fields, a line each. No field holds a line's end."""
    at_us = (entry.at - _1970) // timedelta(microseconds=1)
    fields = (previous, str(entry.id), str(at_us), entry.action, entry.actor, entry.call or "", entry.detail)
    return sha256("\n".join(fields).encode()).hexdigest()


def step(walk: Walk, entry: Entry) -> Walk:
    """Take in the next row, in the order of `id`. Raises BrokenTrailError."""
    if entry.hash is None and entry.previous is None and walk.head is None:
        return replace(walk, uncovered=walk.uncovered + 1, first_uncovered=walk.first_uncovered or entry.id)
    if entry.hash is None or entry.previous is None:
        raise BrokenTrailError(entry.id, Breach.UNCHAINED)
    if digest(entry, entry.previous) != entry.hash:
        raise BrokenTrailError(entry.id, Breach.EDITED)
    if entry.previous != (walk.head.hash if walk.head else GENESIS):
        raise BrokenTrailError(entry.id, Breach.DETACHED)
    head, told = Head(entry.id, entry.hash), walk.told or entry.action == CHAINED
    return replace(walk, unmet=walk.unmet - {head}, head=head, chained=walk.chained + 1, told=told)


def finish(walk: Walk) -> Walk:
    """The walk at the trail's end. Raises BrokenTrailError where all rows lack a hash, or a kept head was not met."""
    if walk.uncovered and not walk.told:
        raise BrokenTrailError(walk.first_uncovered, Breach.STRIPPED)
    if walk.unmet:
        raise BrokenTrailError(min(head.id for head in walk.unmet), Breach.CUT)
    return walk


def check(entries: Iterable[Entry], *kept: Head) -> Walk:
    """Walk a whole trail."""
    walk = Walk(frozenset(kept))
    for entry in entries:
        walk = step(walk, entry)
    return finish(walk)
