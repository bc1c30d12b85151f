"""Labels, evolutions, escalations and outbox in memory: the twin of PostgreSQL as label, escalate and relay see it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime

from streams.adapters.memory_tables import MemoryTables, Queued
from streams.domain import evolution, rules, scoring
from streams.domain.records import Escalation, Label, Purpose, Window
from streams.domain.rules import Rule
from streams.domain.schemes import Scheme
from streams.ports import Recorded


@dataclass(slots=True)
class MemoryOutcomes:
    """`OutcomeStore` and `Outbox` over the tables that the segment stage's twin fills."""

    tables: MemoryTables
    rules: Mapping[str, Sequence[Rule]]
    schemes: Mapping[str, Scheme]
    clock: Callable[[], datetime]
    trace_of: Callable[[str], str | None] = lambda _: None
    tracing: Callable[[Mapping[str, str]], AbstractContextManager[None]] = lambda _: nullcontext()

    async def open_windows(self, windows: Sequence[Window]) -> frozenset[str]:
        """The windows whose call is open for them."""
        return frozenset(window.id for window in windows if self._allowed(window))

    async def record(self, labels: Sequence[Label]) -> Recorded:
        """The labels of open calls, first writer wins, what they come to, and what the rules ask for then."""
        allowed = {label.window_id: label for label in reversed(labels) if self._allowed(label)}
        new = {id_: label for id_, label in allowed.items() if id_ not in self.tables.labels}
        self.tables.labels |= new
        changed = sorted({label.call for label in new.values()})
        self._evolve(changed)
        due = [escalation for call in changed for escalation in self._due(call)]
        self.tables.escalations |= {escalation.id: escalation for escalation in due}
        self.tables.outbox += [Queued(each, traceparent=self.trace_of(each.window_ids[-1])) for each in due]
        self.tables.audit += [("call.escalated", None, escalation.raised_at) for escalation in due]
        refused = {label.window_id for label in labels} - allowed.keys()
        return Recorded(frozenset(new), frozenset(refused), tuple(due))

    async def deliver(self, send: Callable[[Sequence[Escalation]], Awaitable[None]], *, limit: int) -> int:
        """Send the oldest unsent escalation of each call, unless it is being sent."""
        first = {queued.escalation.call: queued for queued in reversed(self.tables.outbox) if not queued.sent}
        chosen = [queued for queued in self.tables.outbox if first.get(queued.escalation.call) is queued]
        chosen = [queued for queued in chosen if queued.claim is None][:limit]
        if not chosen:
            return 0
        claim = object()
        for queued in chosen:
            queued.tried, queued.claim = True, claim
        try:
            traces = {queued.escalation.id: queued.traceparent for queued in chosen if queued.traceparent}
            with self.tracing(traces):
                await send([queued.escalation for queued in chosen])
            self._sent(chosen)
        finally:
            for queued in self.tables.outbox:
                queued.claim = None if queued.claim is claim else queued.claim
        return len(chosen)

    def _sent(self, done: Sequence[Queued]) -> None:
        for queued in done:
            queued.sent = True
        retracted = [id(queued) for queued in done if queued.escalation.retracted]
        self.tables.outbox[:] = [queued for queued in self.tables.outbox if id(queued) not in retracted]

    def _allowed(self, record: Window | Label) -> bool:
        call = self.tables.calls.get(record.call)
        if call is None or Purpose.ALERTING not in call.consents:
            return False
        return scoring.allowed(record, call.consent_seq, call.consents[Purpose.ALERTING].expires_at)

    def _evolve(self, calls: Sequence[str]) -> None:
        for name in calls:
            scheme = self.schemes.get(self.tables.calls[name].use_case)
            means = evolution.meaning(scheme) if scheme else None
            if means:
                self.tables.evolutions[name] = evolution.evolution(self._labels(name), means)

    def _labels(self, name: str) -> list[Label]:
        return [label for label in self.tables.labels.values() if label.call == name]

    def _due(self, name: str) -> list[Escalation]:
        call = self.tables.calls[name]
        return rules.escalations(
            self.rules.get(call.use_case, ()),
            self._labels(name),
            {escalation.id for escalation in self.tables.escalations.values() if escalation.call == name},
            consent=scoring.told(call.consents[Purpose.ALERTING], call.notice),
            reference=call.reference,
            at=self.clock(),
        )
