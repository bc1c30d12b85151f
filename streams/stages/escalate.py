"""labels.v1 -> Postgres: consent, labels, rules, escalations, audit and outbox in one transaction a batch."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from streams.domain.records import Escalation, Label
from streams.domain.scoring import check_label
from streams.kafka.cloudevents import decode_label
from streams.metrics import Metrics
from streams.ports import Batch, DeadLetters, Fetched, OutcomeStore
from streams.stages.intake import usable


@dataclass(frozen=True, slots=True)
class EscalateStage:
    """Keeps nothing between batches: the rules are evaluated over stored rows."""

    letters: DeadLetters
    store: OutcomeStore
    metrics: Metrics

    async def handle(self, batch: Batch) -> int | None:
        """Record the batch; rows and escalations are committed when this returns."""
        if not batch.records:
            return None
        labels = await usable(batch.records, _decode, kind="label", letters=self.letters, metrics=self.metrics)
        with self.metrics.timed("commit_seconds"):
            recorded = await self.store.record(labels)
        self.metrics.count("not_open", len(recorded.refused))
        self._count_labels([label for label in labels if label.window_id in recorded.written])
        self._count_escalations(recorded.raised, {label.window_id: label for label in labels})
        return batch.records[-1].offset + 1

    def lost(self, partitions: Collection[int]) -> None:
        """Nothing is kept."""

    def _count_labels(self, written: Sequence[Label]) -> None:
        for label in written:
            self.metrics.count("labels", outcome=label.outcome)
            if label.reason is not None:
                self.metrics.count("unlabelled", reason=label.reason)

    def _count_escalations(self, raised: Sequence[Escalation], labels: Mapping[str, Label]) -> None:
        for escalation in raised:
            self.metrics.count("escalations", severity=escalation.severity)
            self.metrics.count("escalations_late", escalation.late)
            if opening := labels.get(escalation.window_ids[-1]):
                taken = escalation.raised_at - opening.spoken_at
                self.metrics.observe("escalation_seconds", max(0.0, taken.total_seconds()))


def _decode(record: Fetched) -> Label:
    return check_label(decode_label(record))
