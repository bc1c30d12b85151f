"""A worker whose stage writes what it handled to a file: `worker.py '{"bootstrap": ...}'`, see `How`."""

import asyncio
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Collection
from pathlib import Path

import faust
import msgspec
from prometheus_client import CollectorRegistry

from streams.app import _CONSUMER, Loop
from streams.kafka.feed import Feed, NoFaustConsumer
from streams.kafka.liveness import Liveness
from streams.kafka.producer import KafkaSender
from streams.logs import LOGGING
from streams.metrics import Metrics
from streams.ports import Batch, Outgoing

SESSION_MS = 6_000  #: the least that a broker allows: tests wait for it


class How(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the worker reads, where it writes, and what is the matter with it."""

    name: str
    bootstrap: str
    topic: str
    group: str
    sink: str
    out: str | None = None  #: topic that every record is sent on to
    raise_at: int | None = None  #: offset (of any partition) whose handling fails
    hold_every: int = 0  #: about one record in so many is held back
    hold_s: float = 0.0  #: for at most so long
    batch_s: float = 0.0  #: handling a batch takes so long
    budget: int = 32 << 20  #: bytes that may wait to be handled
    max_poll_ms: int = 120_000  #: a consumer that asks for nothing for so long leaves its group
    file: str | None = None  #: liveness file


class Writing:
    """The stage: a line `partition offset worker` in the sink is a record's effect."""

    def __init__(self, how: How, sender: KafkaSender) -> None:
        self._how, self._sender = how, sender
        self._sink = os.open(how.sink, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._held: dict[int, dict[int, float]] = {}  #: partition -> offset -> when it is let go
        self._position: dict[int, int] = {}
        self.feed: Feed | None = None

    async def handle(self, batch: Batch) -> int | None:
        self._note("begun", batch)
        await asyncio.sleep(self._how.batch_s if batch.records else 0)
        held = self._held.setdefault(batch.partition, {})
        now = time.monotonic()
        done = [offset for offset, due in held.items() if due <= now]
        for record in batch.records:
            if record.offset == self._how.raise_at:
                raise RuntimeError("told to fail here")
            lot = zlib.crc32(b"%d %d" % (record.partition, record.offset))
            if self._how.hold_every and lot % self._how.hold_every == 0:
                held[record.offset] = now + self._how.hold_s * (lot % 1000) / 1000
            else:
                done.append(record.offset)
        await self._put(batch.partition, done)
        for offset in done:
            held.pop(offset, None)
        if batch.records:
            self._position[batch.partition] = batch.records[-1].offset + 1
        self._note("ended", batch)
        return min(held, default=self._position.get(batch.partition))

    async def _put(self, partition: int, offsets: list[int]) -> None:
        if self._how.out is not None:
            sent = [Outgoing(self._how.out, b"%d" % partition, b"%d %d" % (partition, offset)) for offset in offsets]
            await self._sender.send(sent)
        self._write("".join(f"{partition} {offset} {self._how.name}\n" for offset in offsets))

    def _note(self, event: str, batch: Batch) -> None:
        """Something that is no effect, for a test to see."""
        if batch.records and self.feed is not None:
            self._write(f"# {event} {self._how.name} {len(batch.records)} {self.feed._queued}\n")

    def _write(self, lines: str) -> None:
        os.write(self._sink, lines.encode())  # one write a batch: whole or not at all, whoever is killed

    def lost(self, partitions: Collection[int]) -> None:
        self._write(f"# lost {self._how.name} {len(partitions)} 0\n")
        for partition in partitions:
            self._held.pop(partition, None)
            self._position.pop(partition, None)


def main(how: How, folder: str) -> None:
    """As `streams.app` builds a worker, around another stage."""
    app = faust.App(how.name, broker="kafka://unused", datadir=folder, web_enabled=False, topic_disable_leader=True)
    app.boot_strategy = NoFaustConsumer(app)
    metrics = Metrics(CollectorRegistry())
    arguments = {"bootstrap_servers": how.bootstrap, "request_timeout_ms": 5_000, "retry_backoff_ms": 300}
    sender = KafkaSender(arguments)
    stage = Writing(how, sender)
    liveness = Liveness(metrics, file=None if how.file is None else Path(how.file))
    consumer = {**arguments, **_CONSUMER, "group_id": how.group, "session_timeout_ms": SESSION_MS}
    consumer["max_poll_interval_ms"] = how.max_poll_ms
    feed = stage.feed = Feed(
        app, stage, topic=how.topic, consumer=consumer, metrics=metrics, liveness=liveness, max_bytes=how.budget
    )
    services = (Loop("liveness", liveness.run), feed)
    faust.Worker(
        app, *services, loglevel="INFO", logging_config=LOGGING, redirect_stdouts=False
    ).execute_from_commandline()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(msgspec.json.decode(sys.argv[1], type=How), folder)
