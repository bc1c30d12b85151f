"""windows.v1 -> labels.v1: ask Postgres which windows may be scored, ask the inference service once, send."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from streams.domain.records import Label, Window
from streams.domain.scoring import Asked, check_window, fitted
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
    asked: Mapping[str, Asked]  #: use case -> what it asks of its labels
    sender: Sender
    metrics: Metrics
    clock: Callable[[], datetime]
    ask_again_s: float = 1.0  #: whether the calls are still open, while the service is waited for

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
            labels = await self._labels(scored)
            fitting = [fitted(label, self.asked.get(label.use_case)) for label in labels]
            closing = {window.id: window.closing_ms for window in scored}
            await self.sender.send([encode_label(label, closing[label.window_id]) for label in fitting])
        return batch.records[-1].offset + 1

    def lost(self, partitions: Collection[int]) -> None:
        """Nothing is kept."""

    async def _labels(self, windows: Sequence[Window]) -> list[Label]:
        """Labels of the windows; a call that closes while the service is waited for is taken out, and never scored."""
        while windows:
            labelling = asyncio.ensure_future(self.emotion.label(windows))
            try:
                windows = await self._still_open(windows, labelling)
                if labelling.done():
                    return labelling.result()
            finally:
                labelling.cancel()
        return []

    async def _still_open(self, windows: Sequence[Window], labelling: asyncio.Future[list[Label]]) -> Sequence[Window]:
        """Return when they are labelled, or with what is left of them when some must not be any more."""
        while not (await asyncio.wait((labelling,), timeout=self.ask_again_s))[0]:
            open_ids = await self.store.open_windows(windows)
            if len(open_ids) < len(windows) and not labelling.done():
                self.metrics.count("not_open", len(windows) - len(open_ids))
                return [window for window in windows if window.id in open_ids]
        return windows

    def _observe_queue(self, records: Sequence[Fetched]) -> None:
        now = self.clock().timestamp()
        for record in records:
            self.metrics.observe("queue_seconds", max(0.0, now - record.timestamp / 1000))


def _decode(record: Fetched) -> Window:
    return check_window(decode_window(record))
