"""windows.v1 -> labels.v1: ask Postgres which windows may be scored, ask the inference service once, send."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from streams.domain.records import Window
from streams.domain.schemes import Scheme
from streams.domain.scoring import check_window, fitted
from streams.kafka.cloudevents import decode_window, encode_label
from streams.metrics import Metrics
from streams.ports import Batch, DeadLetters, Emotion, Fetched, OutcomeStore, Sender
from streams.stages.intake import usable


@dataclass(frozen=True, slots=True)
class LabelStage:
    """Keeps nothing between batches, so batches of several partitions may be in flight at once."""

    letters: DeadLetters
    store: OutcomeStore
    emotion: Emotion
    schemes: Mapping[str, Scheme]  #: use case -> scheme
    sender: Sender
    metrics: Metrics
    clock: Callable[[], datetime]

    async def handle(self, batch: Batch) -> int | None:
        """Score the windows of open calls; their labels are on the broker when this returns."""
        if not batch.records:
            return None
        windows = await usable(batch.records, _decode, kind="window", letters=self.letters, metrics=self.metrics)
        with self.metrics.timed("commit_seconds"):
            open_ids = await self.store.open_windows(windows)
        scored = [window for window in windows if window.id in open_ids]
        self.metrics.count("not_open", len(windows) - len(scored))
        if scored:
            self._observe_queue(batch.records)
            labels = await self.emotion.label(scored)
            fitting = [fitted(label, self.schemes.get(label.use_case)) for label in labels]
            await self.sender.send([encode_label(label) for label in fitting])
        return batch.records[-1].offset + 1

    def lost(self, partitions: Collection[int]) -> None:
        """Nothing is kept."""

    def _observe_queue(self, records: Sequence[Fetched]) -> None:
        now = self.clock()
        for record in records:
            waited = now - datetime.fromtimestamp(record.timestamp / 1000, UTC)
            self.metrics.observe("queue_seconds", max(0.0, waited.total_seconds()))


def _decode(record: Fetched) -> Window:
    return check_window(decode_window(record))
