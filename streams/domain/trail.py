"""The audit trail as a chain: each row holds the hash of the row before it, so that no row can change unseen.

PostgreSQL makes the hashes as rows come in (migration 0002); this is the other side, which reads the chain again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256

GENESIS = "0" * 64  #: what the first row follows

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


@dataclass(frozen=True, slots=True)
class Walk:
    """How far a trail was found good. `kept` is the head that must be met on the way."""

    kept: Head | None = None
    head: Head | None = None
    chained: int = 0
    uncovered: int = 0  #: rows from before the chain began
    met: bool = False


def digest(entry: Entry, previous: str) -> str:
    """The hash of a row that follows `previous`: SHA-256 over its fields, a line each. No field holds a line's end."""
    at_us = (entry.at - _1970) // timedelta(microseconds=1)
    fields = (previous, str(entry.id), str(at_us), entry.action, entry.actor, entry.call or "", entry.detail)
    return sha256("\n".join(fields).encode()).hexdigest()


def step(walk: Walk, entry: Entry) -> Walk:
    """Take in the next row, in the order of `id`. Raises BrokenTrailError."""
    if entry.hash is None and entry.previous is None and walk.head is None:
        return replace(walk, uncovered=walk.uncovered + 1)
    if entry.hash is None or entry.previous is None:
        raise BrokenTrailError(entry.id, Breach.UNCHAINED)
    if digest(entry, entry.previous) != entry.hash:
        raise BrokenTrailError(entry.id, Breach.EDITED)
    if entry.previous != (walk.head.hash if walk.head else GENESIS):
        raise BrokenTrailError(entry.id, Breach.DETACHED)
    head = Head(entry.id, entry.hash)
    return replace(walk, head=head, chained=walk.chained + 1, met=walk.met or head == walk.kept)


def finish(walk: Walk) -> Walk:
    """The walk at the trail's end. Raises BrokenTrailError where the kept head was not met."""
    if walk.kept is not None and not walk.met:
        raise BrokenTrailError(walk.kept.id, Breach.CUT)
    return walk


def check(entries: Iterable[Entry], kept: Head | None = None) -> Walk:
    """Walk a whole trail."""
    walk = Walk(kept)
    for entry in entries:
        walk = step(walk, entry)
    return finish(walk)
