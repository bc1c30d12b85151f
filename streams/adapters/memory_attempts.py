"""Attempts in memory: they outlive the stage of a test, not its process."""

from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass(slots=True)
class MemoryAttempts:
    """The twin of the `attempts` table."""

    counts: dict[tuple[str, int, int], int] = field(default_factory=dict)

    async def pending(self, topic: str, partition: int) -> frozenset[int]:
        """The offsets that were begun and are not done."""
        return frozenset(offset for *place, offset in self.counts if place == [topic, partition])

    async def begin(self, topic: str, partition: int, offset: int) -> int:
        """Count one more attempt; the count."""
        key = (topic, partition, offset)
        self.counts[key] = self.counts.get(key, 0) + 1
        return self.counts[key]

    async def done(self, topic: str, partition: int, offsets: Collection[int]) -> None:
        """Forget the attempts at these."""
        for offset in offsets:
            self.counts.pop((topic, partition, offset), None)
