"""The tables in memory, and what a call's deletion does to them; the twins of the stores share them."""

from dataclasses import dataclass, field
from datetime import datetime

from streams.domain.evolution import Evolution
from streams.domain.records import Escalation, Label
from streams.domain.retraction import retraction
from streams.ports import Call, Stored


@dataclass(slots=True)
class Queued:
    """An outbox row. `tried`: it may be out, whether it was marked as sent or not. `claim`: whose it is to send."""

    escalation: Escalation
    tried: bool = False
    sent: bool = False
    claim: object = None
    traceparent: str | None = None


@dataclass(slots=True)
class State:
    """A `call_state` row: open, ended, or gone (withdrawn or erased)."""

    partition: int
    stored: Stored
    gone: bool = False


@dataclass(slots=True)
class MemoryTables:
    """What PostgreSQL would hold; the twins of its sides share one."""

    calls: dict[str, Call] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)
    evolutions: dict[str, Evolution] = field(default_factory=dict)
    escalations: dict[str, Escalation] = field(default_factory=dict)
    outbox: list[Queued] = field(default_factory=list)
    audit: list[tuple[str, str | None, datetime]] = field(default_factory=list)  #: action, call, when

    def delete(self, call: str) -> None:
        """Delete all rows of the call; what may be out is retracted."""
        raised = [escalation for escalation in self.escalations.values() if escalation.call == call]
        queued = [queued for queued in self.outbox if queued.escalation.call == call]
        unsent = {entry.escalation.id for entry in queued if not (entry.sent or entry.tried)}
        self.calls.pop(call, None)
        self.evolutions.pop(call, None)
        for window_id in [label.window_id for label in self.labels.values() if label.call == call]:
            del self.labels[window_id]
        for escalation in raised:
            del self.escalations[escalation.id]
        for entry in queued:
            self.outbox.remove(entry)
        gone_out = [escalation for escalation in raised if escalation.id not in unsent]
        gone_out.sort(key=lambda escalation: (escalation.raised_at, escalation.id))
        claims = {entry.escalation.id: entry.claim for entry in queued}
        self.outbox += [Queued(retraction(escalation), claim=claims.get(escalation.id)) for escalation in gone_out]
