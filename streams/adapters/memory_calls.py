"""The `CallStore` in memory."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from streams.adapters.memory_tables import MemoryTables, State
from streams.ports import Checkpoint, Stored


@dataclass(slots=True)
class MemoryCalls:
    """The `CallStore` in memory."""

    tables: MemoryTables = field(default_factory=MemoryTables)

    async def load(self, calls: Collection[str]) -> dict[str, Stored]:
        """The stored calls among these pseudonyms, tombstones included."""
        states = self.tables.states
        return {call: states[call].stored for call in calls if call in states}

    async def load_partition(self, partition: int) -> list[Stored]:
        """Every call of the partition that is not closed."""
        states = [state for _, state in sorted(self.tables.states.items())]
        return [state.stored for state in states if state.partition == partition and not state.stored.closed]

    async def save(self, checkpoints: Sequence[Checkpoint]) -> frozenset[str]:
        """Rows and states, each only where its `next_offset` grows and the call is not closed."""
        refused = {saved.call.call for saved in checkpoints if not self._save(saved)}
        return frozenset(call for call in refused if self.tables.states[call].stored.closed)

    def _save(self, saved: Checkpoint) -> bool:
        call = saved.call.call
        before = self.tables.states.get(call)
        if before is not None and (before.stored.closed or not _grows(before.stored, saved)):
            if not before.stored.closed and before.stored.next_offset == saved.next_offset:
                self.tables.calls[call] = replace(self.tables.calls[call], turn_at=saved.call.turn_at)
            return False
        stored = Stored(call, saved.next_offset, b"" if saved.closed else saved.state, saved.closed)
        self.tables.states[call] = State(saved.partition, stored)
        self.tables.calls[call] = saved.call
        return True

    async def withdraw(self, call: str, *, partition: int, next_offset: int, at: datetime) -> None:
        """Delete everything of the call, leave tombstone, audit row and retractions."""
        before = self.tables.states.get(call, State(partition, Stored(call, next_offset, b"")))
        if before.gone:
            return
        furthest = max(before.stored.next_offset, next_offset)
        tomb = replace(before.stored, next_offset=furthest, state=b"", closed=True)
        self.tables.states[call] = State(before.partition, tomb, gone=True)
        self.tables.delete(call)
        self.tables.audit.append(("call.withdrawn", call, at))


def _grows(before: Stored, saved: Checkpoint) -> bool:
    """A call that was idle ends without a further record."""
    return saved.next_offset > before.next_offset or (saved.closed and saved.next_offset == before.next_offset)
