"""The one way out to Kafka: what was sent is acknowledged by all in-sync replicas, in order, or waited for.

The producer is aiokafka's own rather than Faust's (`ops/adr/0040-own-producer.md`).
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, ProducerClosed, UnknownTopicOrPartitionError

from streams.ports import Outgoing
from streams.topics import KIB

MAX_REQUEST_BYTES = 1024 * KIB + 16 * KIB  #: the largest payload of any topic, its headers and framing
MAX_BATCH_BYTES = 128 * KIB  #: the broker holds a batch, not a record, against max.message.bytes
BACKOFF_S = 1.0
STOP_S = 5.0
_RESET = struct.pack("ii", 1, 0)  #: SO_LINGER of 0 s: to close is to reset

log = logging.getLogger(__name__)


class SendError(RuntimeError):
    """A record that no waiting will get through."""


class _Producer(AIOKafkaProducer):  # type: ignore[misc]  # aiokafka ships no types
    """A producer that can be cut off. Its own `stop` sends everything in its buffer first, however long that takes."""

    def __init__(self, **arguments: Any) -> None:  # noqa: ANN401 - aiokafka's own
        super().__init__(**arguments)
        self._off, self._ready = False, self.client.ready
        self.client.ready = self._ready_unless_off  # asked before every request, and nothing is awaited in between

    async def _ready_unless_off(self, *node: object, **group: object) -> bool:
        if not self._off:
            ready: bool = await self._ready(*node, **group)
        if self._off:
            raise ProducerClosed
        return ready

    def cut_off(self) -> None:
        """From now on let nothing out; what is not acknowledged fails.

        What lies in the kernel goes with the connection, else it would be sent whenever the network is back.
        """
        self._off = True
        for connection in self.client._conns.values():  # noqa: SLF001 - nothing public leads to the socket
            if (writer := connection._writer) is not None:  # noqa: SLF001 - the same
                with suppress(OSError):  # it closed just now
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()


class KafkaSender:
    """`Sender` over one idempotent producer, replaced where it gave up.

    A batch that a broker refused for good leaves a hole in the producer's sequence, so the broker refuses every later
    batch of that partition too: what is not acknowledged is a tail, and sending it again keeps the order.
    """

    def __init__(self, connection: Mapping[str, Any]) -> None:
        """`connection` as `streams.kafka.connection` gives it."""
        self._connection = connection
        self._producer: _Producer | None = None
        self._retired: set[asyncio.Task[None]] = set()
        self._renewing = asyncio.Lock()
        self.waiting = False  #: whether records wait for a broker that did not take them

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Connect now; KafkaConnectionError where no broker answers. `send` by itself waits for one instead."""
        producer = _Producer(
            **self._connection,
            acks="all",
            enable_idempotence=True,
            compression_type=None,
            max_batch_size=MAX_BATCH_BYTES,
            max_request_size=MAX_REQUEST_BYTES,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer

    async def stop(self) -> None:
        """Let go of the connection, without waiting long for a broker that is down: what it lacks was not promised."""
        self._retire()
        if self._retired:
            _, late = await asyncio.wait(self._retired, timeout=STOP_S)
            for task in late:
                task.cancel()

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Return once the broker has acknowledged every record; wait in place while it cannot.

        Raises SendError for a record that is larger than its topic takes. Cancelled, it lets out nothing more of them:
        what was not acknowledged may have arrived by then, and does not set out later.
        """
        pending = list(records)
        try:
            while pending:
                producer = await self._connected()
                try:
                    pending, error = await _attempt(producer, pending)
                except asyncio.CancelledError:
                    self._cut_off(producer, pending)
                    raise
                if error is not None:
                    _raise_if_hopeless(error)
                    self.waiting = True
                    log.warning("records not acknowledged, will be sent again", extra=_what(pending, error))
                    await self._give_up(producer)
                    await asyncio.sleep(BACKOFF_S)
        finally:
            self.waiting = False

    def _cut_off(self, producer: _Producer, pending: Sequence[Outgoing]) -> None:
        """Drop what the producer holds; what others were sending by it they send again by the next."""
        log.warning("gave up records that were not acknowledged", extra=_what(pending))
        producer.cut_off()
        if self._producer is producer:
            self._retire()

    async def _connected(self) -> _Producer:
        async with self._renewing:
            while self._producer is None:
                try:
                    await self.start()
                except KafkaError as error:
                    self.waiting = True
                    log.warning("waiting for Kafka", extra={"error": type(error).__name__})
                    await asyncio.sleep(BACKOFF_S)
            return self._producer

    async def _give_up(self, producer: _Producer) -> None:
        """The next attempt starts a new producer; of several that failed together, the first does this."""
        async with self._renewing:
            if self._producer is producer:
                self._retire()

    def _retire(self) -> None:
        """Close the producer in the background, once what other callers gave it has ended one way or the other."""
        if self._producer is not None:
            task = asyncio.create_task(self._producer.stop())
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)
            self._producer = None


async def _attempt(producer: _Producer, records: Sequence[Outgoing]) -> tuple[list[Outgoing], BaseException | None]:
    """Send all, then await all; what was not acknowledged, and why."""
    futures: list[asyncio.Future[object]] = []
    failure: BaseException | None = None
    try:
        for record in records:
            # First the place in the buffer, which waits where it is full; the acknowledgement is the future.
            future = await producer.send(record.topic, record.value, key=record.key, headers=list(record.headers))
            futures.append(future)
    except KafkaError as error:
        failure = error
    except asyncio.CancelledError:
        for future in futures:
            future.cancel()
        raise
    results = await asyncio.gather(*futures, return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    unacknowledged = [
        record for record, result in zip(records, results, strict=False) if isinstance(result, BaseException)
    ]
    return unacknowledged + list(records[len(futures) :]), next(iter(failures), failure)


def _raise_if_hopeless(error: BaseException) -> None:
    if isinstance(error, MessageSizeTooLargeError):
        raise SendError("a record is larger than its topic takes; run `undertone topics apply`") from error
    if not isinstance(error, KafkaError):
        raise error


def _what(pending: Sequence[Outgoing], error: BaseException | None = None) -> dict[str, object]:
    topics = sorted({record.topic for record in pending})
    what: dict[str, object] = {"records": len(pending), "topics": topics}
    if error is not None:
        what["error"] = type(error).__name__
    if isinstance(error, UnknownTopicOrPartitionError):
        what["remedy"] = "run `undertone topics apply`"
    return what
