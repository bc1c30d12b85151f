"""labels.v1 -> Postgres: consent, labels, rules, escalations, audit and outbox in one transaction a batch."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from streams.domain.evolution import AROUSAL, VALENCE
from streams.domain.records import Escalation, Label
from streams.domain.rules import said
from streams.domain.scoring import check_label
from streams.domain.windows import closing_ms
from streams.kafka.cloudevents import closing_of, decode_label
from streams.metrics import OTHER, Metrics
from streams.ports import Batch, DeadLetters, Fetched, OutcomeStore
from streams.stages.intake import usable

_MENUS = {"valence": VALENCE, "arousal": AROUSAL}


@dataclass(frozen=True, slots=True)
class EscalateStage:
    """Keeps nothing between batches: the rules are evaluated over stored rows."""

    letters: DeadLetters
    store: OutcomeStore
    metrics: Metrics
    clock: Callable[[], datetime]

    async def handle(self, batch: Batch) -> int | None:
        """Record the batch; rows and escalations are committed when this returns."""
        if not batch.records:
            return None
        labels = await usable(batch.records, _decode, kind="label", letters=self.letters, metrics=self.metrics)
        with self.metrics.timed("commit_seconds"):
            recorded = await self.store.record(labels)
        self.metrics.count("not_open", len(recorded.refused))
        written = [label for label in labels if label.window_id in recorded.written]
        self._count_labels(written, dict(map(closing_of, batch.records)))
        self._count_escalations(recorded.raised, {label.window_id: label for label in labels})
        return batch.records[-1].offset + 1

    def lost(self, partitions: Collection[int]) -> None:
        """Nothing is kept."""

    def _count_labels(self, written: Sequence[Label], closing: Mapping[str, int | None]) -> None:
        now = self.clock()
        for label in written:
            waited = (now - label.spoken_at).total_seconds() - _closing_ms(label, closing.get(label.window_id)) / 1000
            self.metrics.observe("label_seconds", max(0.0, waited))
            self.metrics.count("labels", outcome=label.outcome)
            if label.reason is not None:
                self.metrics.count("unlabelled", reason=label.reason)
            self._count_classes(label)

    def _count_classes(self, label: Label) -> None:
        classes = said(label)
        for dimension, menu in _MENUS.items():
            if name := classes.get(f"{dimension}.full"):
                self.metrics.count(dimension, said=name if name in menu else OTHER)
        share = label.heads.get("valence.full", {}).get(classes.get("valence.full", ""))
        if share is not None:  # a label of another's making may name a class of no head
            self.metrics.observe("confidence", share)

    def _count_escalations(self, raised: Sequence[Escalation], labels: Mapping[str, Label]) -> None:
        for escalation in raised:
            self.metrics.count("escalations", severity=escalation.severity)
            self.metrics.count("escalations_late", escalation.late)
            if opening := labels.get(escalation.window_ids[-1]):
                taken = escalation.raised_at - opening.spoken_at
                self.metrics.observe("escalation_seconds", max(0.0, taken.total_seconds()))


def _closing_ms(label: Label, told: int | None) -> int:
    """What the window rule waited for: as segment tells it, and never more than the rule can ask for."""
    most = closing_ms(label.end_ms - label.start_ms)
    return most if told is None else min(told, most)


def _decode(record: Fetched) -> Label:
    return check_label(decode_label(record))
