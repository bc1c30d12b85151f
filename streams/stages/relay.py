"""Postgres -> escalations.v1: the outbox, at least once and in order per call."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streams.domain.records import Escalation
from streams.kafka.cloudevents import encode_escalation
from streams.metrics import Metrics
from streams.ports import Outbox, Sender


@dataclass(frozen=True, slots=True)
class Relay:
    """A loop over the outbox; several may run at once. `progressed` is called at each turn of it."""

    outbox: Outbox
    sender: Sender
    metrics: Metrics
    progressed: Callable[[], None]
    calls: int = 100  #: whose oldest escalation is sent in one turn
    pause_s: float = 0.2  #: before an empty outbox is looked at again

    async def run(self) -> None:
        """Relay until cancelled."""
        while True:
            if not await self.turn():
                await asyncio.sleep(self.pause_s)

    async def turn(self) -> int:
        """Send what is next of each call; how many escalations that was."""
        sent = await self.outbox.deliver(self._send, limit=self.calls)
        self.metrics.count("relayed", sent)
        self.progressed()
        return sent

    async def _send(self, escalations: Sequence[Escalation]) -> None:
        await self.sender.send([encode_escalation(escalation) for escalation in escalations])
        self.metrics.count("retractions", sum(escalation.retracted for escalation in escalations))
