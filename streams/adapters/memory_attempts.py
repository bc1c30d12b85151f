"""Attempts in memory: they outlive the stage of a test, not its process."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class MemoryAttempts:
    """The twin of the `attempts` table."""

    counts: dict[tuple[str, int, int], int] = field(default_factory=dict)

    async def begin(self, topic: str, partition: int, offset: int) -> int:
        """Count one more attempt; the count."""
        key = (topic, partition, offset)
        self.counts[key] = self.counts.get(key, 0) + 1
        return self.counts[key]

    async def done(self, topic: str, partition: int, next_offset: int) -> None:
        """Forget the attempts at every record below `next_offset`."""
        for key in [key for key in self.counts if key[:2] == (topic, partition) and key[2] < next_offset]:
            del self.counts[key]
