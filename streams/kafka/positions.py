"""How far a group has come, asked of the broker itself with clients that nothing else uses."""

from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from streams.kafka.liveness import Position


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
