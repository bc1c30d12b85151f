"""How far a group has come, asked of the broker itself with clients that nothing else uses."""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any, Protocol, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from streams.kafka.liveness import Position

REMAKE = 3  #: failures in a row after which a connection is given up


class Positions:
    """Reads committed offsets and ends; an asynchronous context manager. `arguments` are an aiokafka client's."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._admin = AIOKafkaAdminClient(**arguments)
        self._reader = AIOKafkaConsumer(**arguments)  # no group, no topic: it fetches nothing

    async def __aenter__(self) -> Self:
        try:
            await self._admin.start()
            await self._reader.start()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        await self._reader.stop()
        await self._admin.close()

    async def read(self, group: str, topic: str, partitions: Collection[int] | None = None) -> dict[int, Position]:
        """The group's position on these partitions of the topic, on all of them where none are named."""
        if partitions is None:
            [described] = await self._admin.describe_topics([topic])
            partitions = [each["partition"] for each in described["partitions"]]
        wanted = [TopicPartition(topic, partition) for partition in partitions]
        if not wanted:
            return {}
        begins = await self._reader.beginning_offsets(wanted)
        ends = await self._reader.end_offsets(wanted)
        committed = await self._admin.list_consumer_group_offsets(group, partitions=wanted)

        def position(tp: TopicPartition) -> Position:
            said = committed.get(tp)
            done = begins[tp] if said is None or said.offset < 0 else said.offset  # -1: nothing is committed
            return Position(max(begins[tp], done), ends[tp], max(0, begins[tp] - done))

        return {tp.partition: position(tp) for tp in wanted}


class Reader(Protocol):
    """What an enquiry asks."""

    async def read(self, group: str, topic: str, partitions: Collection[int]) -> Mapping[int, Position]:
        """The group's position on these partitions of the topic."""


class Enquiry:
    """Asks how far a stage has come, by a connection that is made when it is needed.

    And made anew after some failures: a client knows its brokers by the addresses that they gave it, and looks up
    those that it was told no more, so it never finds a cluster whose every address has changed.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[Reader]],
        group: str,
        topic: str,
        assigned: Callable[[], Collection[int]],
    ) -> None:
        self._connect, self._group, self._topic, self._assigned = connect, group, topic, assigned
        self._stack = AsyncExitStack()
        self._reader: Reader | None = None
        self._failures = 0

    async def ask(self) -> Mapping[int, Position]:
        """The broker's word on the partitions that the stage holds."""
        if self._failures >= REMAKE:
            await self.close()
        self._failures += 1  # unless it ends well: what is cancelled because it takes too long has failed too
        if self._reader is None:
            self._reader = await self._stack.enter_async_context(self._connect())
        said = await self._reader.read(self._group, self._topic, self._assigned())
        self._failures = 0
        return said

    async def close(self) -> None:
        """Let go of the connection."""
        stack, self._stack = self._stack, AsyncExitStack()
        self._reader, self._failures = None, 0
        await stack.aclose()
