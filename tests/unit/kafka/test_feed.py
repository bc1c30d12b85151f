import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import faust
import pytest
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry

from streams.adapters.memory_topics import Kept
from streams.kafka.feed import Feed, _Event, _Partition
from streams.kafka.liveness import Liveness
from streams.metrics import Metrics
from streams.ports import Batch

NOW = 1_800_000_000
HERE = TopicPartition("calls.v1", 0)
THERE = TopicPartition("calls.v1", 1)


@dataclass
class Looking:
    """A stage that looks at the metric while it handles."""

    feed: Feed | None = None
    seen: float | None = None

    async def handle(self, batch: Batch) -> int | None:
        assert self.feed is not None
        self.seen = age(self.feed)
        return batch.records[-1].offset + 1

    def lost(self, partitions: set[int]) -> None:
        pass


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Feed:
    monkeypatch.setattr("streams.kafka.feed.time", SimpleNamespace(time=lambda: NOW, monotonic=time.monotonic))
    metrics, stage = Metrics(CollectorRegistry()), Looking()
    app = faust.App("unit", broker="kafka://unused")
    stage.feed = Feed(app, stage, topic="calls.v1", consumer={}, metrics=metrics, liveness=Liveness(metrics, file=None))
    return stage.feed


def age(feed: Feed) -> float:
    feed._show()
    value = feed._metrics.registry.get_sample_value("undertone_oldest_unhandled_seconds")
    assert value is not None
    return value


def records(*seconds_ago: int) -> Sequence[Kept]:
    return [Kept("calls.v1", 0, offset, (NOW - ago) * 1000, None, b"", ()) for offset, ago in enumerate(seconds_ago)]


def test_nothing_that_waits_has_no_age(feed: Feed) -> None:
    feed.partitions[HERE] = _Partition()
    assert age(feed) == 0


def test_the_oldest_record_of_any_partition_counts_until_it_is_handled(feed: Feed) -> None:
    feed._waits(HERE, records(50, 1))
    feed._waits(THERE, records(30))
    assert age(feed) == 50
    feed.partitions.pop(HERE)  # it was taken away
    assert age(feed) == 30


async def test_a_record_counts_while_it_is_handled_and_no_longer_after(feed: Feed) -> None:
    await feed._handle(_Event(HERE, feed._waits(HERE, records(50, 1)).partition))
    assert isinstance(feed.stage, Looking)
    assert feed.stage.seen == 50
    assert age(feed) == 0
