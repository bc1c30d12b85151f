"""Fetched batches in, declared offsets out: a Faust service that owns the consumer and feeds an ordinary agent.

Faust's own consumer acknowledges a record whose agent raised, one event a record; this feed hands over whole batches
and commits only what the stage's handler declared durable (`ops/adr/0002-own-consumer.md`).
"""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn

import faust
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaConnectionError, KafkaError
from faust.app.base import BootStrategy

from streams.kafka.liveness import Liveness
from streams.kafka.unreadable import fetch_again
from streams.metrics import Metrics
from streams.ports import Batch, Fetched, Stage

EX_TEMPFAIL = 75  #: "start me again": an ordinary event for a supervisor
TICK_S = 1.0  #: a partition at its end is handed an empty batch this often, so that idle calls end
COMMIT_S = 0.5
CONNECT_S = 1.0
STOP_S = 5.0  #: for the last commit
HANDLER_S = 10.0  #: for the last handler: one that waits for what is down may wait for ever, and has told so by then
FULL_MS = 50  #: between two looks at whether a full queue has room
BATCH_BYTES = 2 << 20  #: that are handled at once, about
RECORD_BYTES = 400  #: what a fetched record takes beside its payload, about

log = logging.getLogger(__name__)


class NoFaustConsumer(BootStrategy):
    """Faust without its consumer, tables, leader and web server: app, agents and worker remain."""

    enable_kafka_consumer = False
    enable_kafka_producer = False
    enable_web = False


def fail_stop(what: str, error: BaseException) -> NoReturn:
    """End the process before anything more can be committed; a supervisor starts it again."""
    log.critical("fail-stop", extra={"what": what}, exc_info=error)
    logging.shutdown()
    os._exit(EX_TEMPFAIL)


@dataclass(slots=True)
class _Partition:
    """One assignment of one partition; a batch that carries an older one is not handled."""

    waiting: deque[tuple[Sequence[Fetched], int]] = field(default_factory=deque)  #: as fetched, with their bytes
    oldest_ms: int | None = None  #: the log's time of the first record that is being handled
    called: bool = False  #: an event of it travels on the channel, or is handled
    fetched: int | None = None  #: the offset after the last record that was fetched
    durable: int | None = None
    committed: int | None = None
    ticked_at: float = field(default_factory=time.monotonic)

    def next_batch(self) -> tuple[tuple[Fetched, ...], int]:
        """The records that are handled next, with their bytes: all that wait, up to `BATCH_BYTES` and one fetch."""
        taken: list[Fetched] = []
        nbytes = 0
        while self.waiting and nbytes < BATCH_BYTES:
            records, more = self.waiting.popleft()
            taken += records
            nbytes += more
        self.oldest_ms = taken[0].timestamp if taken else None
        return tuple(taken), nbytes

    @property
    def unhandled_ms(self) -> int | None:
        """The log's time of the oldest record that was fetched and is not done with."""
        if self.oldest_ms is not None:
            return self.oldest_ms
        return self.waiting[0][0][0].timestamp if self.waiting else None


@dataclass(frozen=True, slots=True)
class _Event:
    """What travels on the channel, one of a partition at a time: its records wait, or it was `caught_up`.

    The consumer then stood at `reached`.
    """

    tp: TopicPartition
    partition: _Partition
    caught_up: datetime | None = None
    reached: int | None = None


class Feed(faust.Service, ConsumerRebalanceListener):  # type: ignore[misc]  # neither ships types
    """Fetches one topic for one stage and commits what the stage's handler returned."""

    def __init__(
        self,
        app: faust.App,
        stage: Stage,
        *,
        topic: str,
        consumer: Mapping[str, Any],
        metrics: Metrics,
        liveness: Liveness,
        max_bytes: int = 32 << 20,
    ) -> None:
        """`consumer` are AIOKafkaConsumer's arguments; at most about `max_bytes` wait to be handled."""
        super().__init__()
        self.app, self.stage, self.topic = app, stage, topic
        # Bounded in bytes here: a bounded channel cancels its putter. Any object may travel on it.
        self.channel: Any = app.channel(maxsize=0)
        self._arguments, self._metrics, self._liveness, self._max_bytes = consumer, metrics, liveness, max_bytes
        self.consumer: AIOKafkaConsumer | None = None
        self.busy = asyncio.Lock()
        self.partitions: dict[TopicPartition, _Partition] = {}
        self._queued = self._partition_count = 0
        app.agent(self.channel, name=stage.__class__.__name__)(self._agent)

    @property
    def partition_count(self) -> int:
        """How many partitions the topic has; only while something is assigned."""
        # Metadata that came with a passing error lacks the topic: what was known before then stands.
        self._partition_count = len(self._joined.partitions_for_topic(self.topic) or ()) or self._partition_count
        return self._partition_count

    def assigned(self) -> set[int]:
        """The partitions that this worker holds now."""
        return {tp.partition for tp in self.consumer.assignment()} if self.consumer else set()

    async def on_start(self) -> None:
        """Let events flow."""
        self.app.flow_control.resume()  # only table recovery does it otherwise

    async def on_stop(self) -> None:
        """Let the running handler end, unless it waits for what is down, start no other, commit, leave the group."""
        self.app.flow_control.clear()
        async with AsyncExitStack() as alone:
            with suppress(TimeoutError):  # it is left as if killed: its records come again
                await asyncio.wait_for(alone.enter_async_context(self.busy), HANDLER_S)
            with suppress(TimeoutError):  # a coordinator that is gone is waited for without end otherwise
                await asyncio.wait_for(self._commit(), STOP_S)
            self.partitions.clear()
        if self.consumer is not None:
            await self.consumer.stop()

    @faust.Service.task
    async def _pump(self) -> None:
        await self.app.agents.wait_until_agents_started()  # an earlier put would be dropped in silence
        # A worker stops the app before its other services, and an agent that is stopped is cancelled in its handler:
        # so the feed, which lets the handler finish, is stopped with the app and first of all.
        self.app.add_dependency(self)
        await self._forever("join", self._join, until=lambda: self.consumer is not None)
        await self._forever("fetch", self._fetch)

    async def _join(self) -> None:
        consumer = AIOKafkaConsumer(enable_auto_commit=False, auto_offset_reset="earliest", **self._arguments)
        consumer.subscribe([self.topic], listener=self)
        try:
            await consumer.start()
        except KafkaConnectionError:
            await consumer.stop()
            log.warning("waiting for Kafka")
            await self.sleep(CONNECT_S)
        else:
            self.consumer = consumer

    @property
    def _joined(self) -> AIOKafkaConsumer:
        if self.consumer is None:
            raise RuntimeError("the feed has not joined its group yet")
        return self.consumer

    async def _fetch(self) -> None:
        self._show()
        if self._queued >= self._max_bytes:
            await self._ask_for_nothing()
            return
        try:
            fetched = await self._joined.getmany(timeout_ms=200)
        except UnicodeDecodeError:
            fetched = await self._fetch_again()
        if self.should_stop:
            return  # nothing is committed any more
        # No await until the batches are registered: they belong to the assignment of this moment.
        for event in [self._waits(tp, records) for tp, records in fetched.items() if records]:
            await self._call(event)
        for tp in self._joined.assignment():
            if self._quiet(tp) and (seen_at := await self._end_seen_at(tp)):
                reached = await self._joined.position(tp)
                await self._call(_Event(tp, self.partitions.setdefault(tp, _Partition()), seen_at, reached))
        self._liveness.progressed()

    def _show(self) -> None:
        self._metrics.set("queued_bytes", self._queued)
        since = [ms for partition in self.partitions.values() if (ms := partition.unhandled_ms) is not None]
        self._metrics.set("oldest_unhandled_seconds", max(0.0, time.time() - min(since) / 1000) if since else 0)

    async def _fetch_again(self) -> dict[TopicPartition, list[Fetched]]:
        """One record at a time; what belongs to an assignment that ended meanwhile is fetched anew by the next."""
        log.warning("a record cannot be read")
        before = dict(self.partitions)
        found = await fetch_again(self._joined, {tp: partition.fetched for tp, partition in before.items()})
        return {tp: records for tp, records in found.items() if self.partitions.get(tp) is before[tp]}

    async def _ask_for_nothing(self) -> None:
        """Let a full queue run down; a consumer that no longer asks leaves its group after `max_poll_interval_ms`."""
        held = self._joined.assignment()
        self._joined.pause(*held)
        await self._joined.getmany(timeout_ms=FULL_MS)
        self._joined.resume(*(self._joined.assignment() & held))

    def _waits(self, tp: TopicPartition, records: Sequence[Fetched]) -> _Event:
        partition = self.partitions.setdefault(tp, _Partition())
        nbytes = sum(len(record.value or b"") + RECORD_BYTES for record in records)
        partition.waiting.append((records, nbytes))
        partition.fetched = records[-1].offset + 1
        self._queued += nbytes
        return _Event(tp, partition)

    async def _call(self, event: _Event) -> None:
        """Let the partition be handled when its turn comes; what is fetched until then is handled with it."""
        event.partition.ticked_at = time.monotonic()
        if not event.partition.called:
            event.partition.called = True
            await self.channel.put(event)

    def _quiet(self, tp: TopicPartition) -> bool:
        partition = self.partitions.setdefault(tp, _Partition())
        return not partition.called and time.monotonic() - partition.ticked_at >= TICK_S

    async def _end_seen_at(self, tp: TopicPartition) -> datetime | None:
        """When the broker last answered that nothing follows; a broker that is silent says nothing of idleness."""
        end, answered_ms = self._joined.highwater(tp), self._joined.last_poll_timestamp(tp)
        if end is None or answered_ms is None or await self._joined.position(tp) < end:
            return None
        return datetime.fromtimestamp(answered_ms / 1000, UTC)

    async def _agent(self, stream: Any) -> None:  # noqa: ANN401 - Faust ships no types
        async for event in stream:
            async with self.busy:
                if self.partitions.get(event.tp) is event.partition:
                    await self._handle(event)

    async def _handle(self, event: _Event) -> None:
        partition = event.partition
        records, nbytes = partition.next_batch()
        try:
            caught_up = None if records else event.caught_up
            durable = await self.stage.handle(Batch(event.tp.topic, event.tp.partition, records, caught_up))
        except asyncio.CancelledError as error:
            if not self.should_stop:
                fail_stop("handler", error)
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it was, nothing after it may be committed
            fail_stop("handler", error)
        self._queued -= nbytes
        partition.oldest_ms = None
        if durable is not None:
            partition.durable = durable
        if not records and event.reached is not None and partition.durable == partition.fetched:
            # All is done, and nothing follows but what no consumer is shown, such as the end of a transaction.
            partition.durable = event.reached
        partition.called = False
        if partition.waiting:
            await self._call(_Event(event.tp, partition))

    @faust.Service.task
    async def _commits(self) -> None:
        await self._forever("commit", self._commit_soon)

    async def _forever(
        self, what: str, step: Callable[[], Awaitable[None]], *, until: Callable[[], bool] = lambda: False
    ) -> None:
        try:
            while not self.should_stop and not until():
                await step()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - the edge of the process
            fail_stop(what, error)

    async def _commit_soon(self) -> None:
        await self.sleep(COMMIT_S)
        await self._commit()

    async def _commit(self) -> None:
        if self.consumer is None:
            return
        assigned = self.consumer.assignment()
        due = {
            tp: partition.durable
            for tp, partition in self.partitions.items()
            if tp in assigned and partition.durable is not None and partition.durable != partition.committed
        }
        if not due:
            return
        try:
            await self.consumer.commit(due)
        except (CommitFailedError, IllegalStateError, KafkaError) as error:
            log.warning("commit refused; the records will be replayed", extra={"error": type(error).__name__})
            self._metrics.count("commits_refused")
            return
        self._metrics.count("commits")
        for tp, offset in due.items():
            if tp in self.partitions:
                self.partitions[tp].committed = offset

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Let the running handler end, commit, and forget everything about these partitions."""
        if not revoked:
            return
        self._liveness.rebalancing(going_on=True)
        # Batches not yet taken belong to an assignment that ends: they will be fetched again.
        self.app.flow_control.clear()
        async with self.busy:
            await self._commit()
            self._queued = 0
            for tp in revoked:
                self.partitions.pop(tp, None)
            self.stage.lost({tp.partition for tp in revoked})

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """Start each partition with no memory of an earlier assignment."""
        for tp in assigned:
            self.partitions[tp] = _Partition()
        self._liveness.rebalancing(going_on=False)
