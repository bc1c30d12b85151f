"""Fetched batches in, declared offsets out: a Faust service that owns the consumer and feeds an ordinary agent.

Faust's own consumer acknowledges a record whose agent raised, one event a record; this feed hands over whole batches
and commits only what the stage's handler declared durable (`ops/adr/0002-own-consumer.md`).
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
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
FULL_MS = 50  #: between two looks at whether a full queue has room
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

    fetched: int | None = None  #: the offset after the last record that was fetched
    durable: int | None = None
    committed: int | None = None
    queued: int = 0
    ticked_at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class _Event:
    """What travels on the channel; the consumer stood at `reached` when it was made."""

    batch: Batch
    partition: _Partition
    nbytes: int
    reached: int | None


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
        """Let the running handler end, start no other, commit, leave the group."""
        self.app.flow_control.clear()
        async with self.busy:
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
        for event in [self._event(tp, tuple(records)) for tp, records in fetched.items() if records]:
            await self.channel.put(event)
        for tp in self._joined.assignment():
            if self._quiet(tp) and (seen_at := await self._end_seen_at(tp)):
                reached = await self._joined.position(tp)
                await self.channel.put(self._event(tp, (), caught_up=seen_at, reached=reached))
        self._liveness.progressed()
        self._metrics.set("queued_bytes", self._queued)

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

    def _event(
        self,
        tp: TopicPartition,
        records: tuple[Fetched, ...],
        *,
        caught_up: datetime | None = None,
        reached: int | None = None,
    ) -> _Event:
        partition = self.partitions.setdefault(tp, _Partition())
        nbytes = sum(len(record.value or b"") + RECORD_BYTES for record in records)
        if records:
            partition.fetched = records[-1].offset + 1
        partition.queued += 1
        partition.ticked_at = time.monotonic()
        self._queued += nbytes
        return _Event(Batch(tp.topic, tp.partition, records, caught_up), partition, nbytes, reached)

    def _quiet(self, tp: TopicPartition) -> bool:
        partition = self.partitions.setdefault(tp, _Partition())
        return not partition.queued and time.monotonic() - partition.ticked_at >= TICK_S

    async def _end_seen_at(self, tp: TopicPartition) -> datetime | None:
        """When the broker last answered that nothing follows; a broker that is silent says nothing of idleness."""
        end, answered_ms = self._joined.highwater(tp), self._joined.last_poll_timestamp(tp)
        if end is None or answered_ms is None or await self._joined.position(tp) < end:
            return None
        return datetime.fromtimestamp(answered_ms / 1000, UTC)

    async def _agent(self, stream: Any) -> None:  # noqa: ANN401 - Faust ships no types
        async for event in stream:
            async with self.busy:
                if self.partitions.get(TopicPartition(event.batch.topic, event.batch.partition)) is event.partition:
                    await self._handle(event)

    async def _handle(self, event: _Event) -> None:
        try:
            durable = await self.stage.handle(event.batch)
        except BaseException as error:  # noqa: BLE001 - whatever it was, nothing after it may be committed
            fail_stop("handler", error)
        event.partition.queued -= 1
        self._queued -= event.nbytes
        if durable is not None:
            event.partition.durable = durable
        if event.reached is not None and event.partition.durable == event.partition.fetched:
            # All is done, and nothing follows but what no consumer is shown, such as the end of a transaction.
            event.partition.durable = event.reached

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
