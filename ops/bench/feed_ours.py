"""Our engine: `feed_ours.py BOOTSTRAP TOPIC GROUP COUNT FILE [EFFECTS]`."""

import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

import faust
from aiokafka import TopicPartition
from feed_work import Work
from prometheus_client import CollectorRegistry

from streams.app import _CONSUMER, collect_seldom
from streams.kafka.feed import Feed, NoFaustConsumer
from streams.kafka.liveness import Liveness
from streams.metrics import Metrics
from streams.ports import Batch

bootstrap, topic, group, count, said, *effects = sys.argv[1:]
work = Work(int(count), Path(said), *map(Path, effects))


class Stage:
    """Decodes and buffers."""

    async def handle(self, batch: Batch) -> int | None:
        """Nothing needs to be durable but the offset."""
        if not batch.records:
            return None
        work.many(batch.records)
        return batch.records[-1].offset + 1

    def lost(self, partitions: Collection[int]) -> None:
        """Nothing is kept."""


class Watched(Feed):
    """Says when it has its partitions."""

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """Begin to count."""
        work.begin()
        await super().on_partitions_assigned(assigned)


collect_seldom()
with tempfile.TemporaryDirectory() as folder:
    app = faust.App("ours", broker="kafka://unused", datadir=folder, web_enabled=False, topic_disable_leader=True)
    app.boot_strategy = NoFaustConsumer(app)
    metrics = Metrics(CollectorRegistry())
    consumer = {**_CONSUMER, "bootstrap_servers": bootstrap, "group_id": group}
    feed = Watched(app, Stage(), topic=topic, consumer=consumer, metrics=metrics, liveness=Liveness(metrics, file=None))
    faust.Worker(app, feed, loglevel="WARN").execute_from_commandline()
