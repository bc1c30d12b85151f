"""The broker's side of the topics: apply what `streams.topics` declares, and tell how far the groups are."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from streams.kafka.connection import connection
from streams.settings import Settings
from streams.topics import CHECK_INTERVAL_MS, TOPICS, Topic, life

SETTLE_S = 30.0

_CHECK_INTERVAL = "log.retention.check.interval.ms"
_SET_ON_TOPIC = 1  #: config_source of what an operator set on the topic itself


class AdminError(RuntimeError):
    """The broker refused, or what is asked would lose data; the message has the remedy."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a group is on one partition."""

    group: str
    topic: str
    partition: int
    committed: int | None  #: next offset to be read; None: the group never committed here
    first: int  #: lowest offset that the broker still has
    end: int  #: next offset to be written

    @property
    def behind(self) -> int:
        """Records that the group has not committed."""
        return max(0, self.end - max(self.first, self.committed or 0))


async def apply_topics(settings: Settings, topics: Sequence[Topic] = TOPICS) -> list[str]:
    """Create topics, add partitions and alter settings until the broker has what is declared; what was changed.

    Settings that are not declared here keep what an operator gave them. Raises AdminError where a topic has more
    partitions than the settings say: fewer would lose records.
    """
    async with _admin(settings) as admin:
        existing = await _partitions(admin, [topic.name for topic in topics])
        _refuse_fewer(existing, settings.partitions)
        missing = [topic for topic in topics if topic.name not in existing]
        changes = await _create(admin, missing, settings)
        changes += await _grow(admin, existing, settings.partitions)
        if changes:
            await _wait_for(admin, dict.fromkeys((topic.name for topic in topics), settings.partitions))
        return changes + await _alter(admin, [topic for topic in topics if topic.name in existing])


async def lag(settings: Settings, groups: Mapping[str, str]) -> list[Lag]:
    """How far each group is on each partition of its topic; `groups` is group -> topic."""
    async with _admin(settings) as admin:
        known = await _partitions(admin, sorted(set(groups.values())))
    return [
        lag
        for group, topic in groups.items()
        for lag in await _lag(settings, group, [TopicPartition(topic, n) for n in range(known.get(topic, 0))])
    ]


async def _lag(settings: Settings, group: str, partitions: Sequence[TopicPartition]) -> list[Lag]:
    """Ask as the group does, but without joining it: nobody's partitions are revoked."""
    if not partitions:
        return []
    async with AIOKafkaConsumer(**connection(settings), group_id=group, enable_auto_commit=False) as consumer:
        consumer.assign(partitions)
        offsets = await _offsets(consumer, partitions)
        return [
            Lag(group, tp.topic, tp.partition, await consumer.committed(tp), first, end)
            for tp, (first, end) in offsets.items()
        ]


async def partitions_of(settings: Settings, topic: str) -> int:
    """Partitions that `topic` has on the broker; 0 where there is no such topic."""
    async with _admin(settings) as admin:
        return (await _partitions(admin, [topic])).get(topic, 0)


async def retained(settings: Settings, topic: str) -> int:
    """Records that the broker has of `topic`; 0 where there is no such topic."""
    partitions = [TopicPartition(topic, number) for number in range(await partitions_of(settings, topic))]
    if not partitions:
        return 0
    async with AIOKafkaConsumer(**connection(settings)) as consumer:
        offsets = await _offsets(consumer, partitions)
    return sum(end - first for first, end in offsets.values())


async def lives(settings: Settings, topics: Sequence[Topic] = TOPICS) -> dict[str, timedelta | None]:
    """How long a record of each topic that is there can live, by what the brokers have set; None: for ever."""
    async with _admin(settings) as admin:
        there = await _partitions(admin, [topic.name for topic in topics])
        cluster = await admin.describe_cluster()
        brokers = [ConfigResource(ConfigResourceType.BROKER, str(each["node_id"])) for each in cluster["brokers"]]
        said = [_read_config(response)[0] for response in await admin.describe_configs(brokers)]
        slowest = max(int(each.get(_CHECK_INTERVAL, CHECK_INTERVAL_MS)) for each in said)
        return {name: life((await _config(admin, name))[0], slowest) for name in there}


@asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def _partitions(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    """Topic -> number of its partitions, of those that exist."""
    described = await admin.describe_topics(list(names))
    return {topic["topic"]: len(topic["partitions"]) for topic in described if not topic["error_code"]}


def _refuse_fewer(existing: Mapping[str, int], partitions: int) -> None:
    for name, count in existing.items():
        if count > partitions:
            raise AdminError(
                f"topic {name} has {count} partitions and cannot go down to {partitions}; "
                f"set UNDERTONE_PARTITIONS to {count} or more"
            )


async def _create(admin: AIOKafkaAdminClient, topics: Sequence[Topic], settings: Settings) -> list[str]:
    if not topics:
        return []
    wanted = [
        NewTopic(topic.name, settings.partitions, settings.replication, topic_configs=dict(topic.config))
        for topic in topics
    ]
    response = await admin.create_topics(wanted)
    for name, code, *message in response.topic_errors:
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise AdminError(f"topic {name} could not be created: {_why(code, *message)}")
    return [f"{topic.name}: created with {settings.partitions} partitions" for topic in topics]


async def _grow(admin: AIOKafkaAdminClient, existing: Mapping[str, int], partitions: int) -> list[str]:
    """Keys move to other partitions then: calls that are open at that moment end as idle."""
    short = {name: count for name, count in existing.items() if count < partitions}
    if short:
        await admin.create_partitions({name: NewPartitions(partitions) for name in short})
    return [f"{name}: partitions {count} -> {partitions}" for name, count in short.items()]


async def _wait_for(admin: AIOKafkaAdminClient, wanted: Mapping[str, int]) -> None:
    """Brokers learn of what the controller accepted a moment later; a producer should not come before."""
    async with asyncio.timeout(SETTLE_S):
        while await _partitions(admin, list(wanted)) != wanted:  # noqa: ASYNC110 - brokers send no event
            await asyncio.sleep(0.05)


async def _alter(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> list[str]:
    changes: list[str] = []
    for topic in topics:
        effective, own = await _config(admin, topic.name)
        differing = {name: value for name, value in topic.config.items() if effective.get(name) != value}
        if differing:
            await _set_config(admin, topic.name, own | dict(topic.config))
        changes += [f"{topic.name}: {name} {effective.get(name)} -> {value}" for name, value in differing.items()]
    return changes


async def _config(admin: AIOKafkaAdminClient, name: str) -> tuple[dict[str, str], dict[str, str]]:
    """What is in force for the topic, and the part of it that was set on the topic itself."""
    (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    return _read_config(response)


def _read_config(response: Any) -> tuple[dict[str, str], dict[str, str]]:  # noqa: ANN401 - aiokafka ships no types
    code, message, _, name, entries = response.resources[0]
    if code:
        raise AdminError(f"the settings of {name} could not be read: {_why(code, message)}")
    effective = {entry[0]: entry[1] for entry in entries}
    return effective, {entry[0]: entry[1] for entry in entries if entry[3] == _SET_ON_TOPIC}


async def _set_config(admin: AIOKafkaAdminClient, name: str, config: Mapping[str, str]) -> None:
    """The protocol replaces all that was set on the topic, so `config` must hold all of it."""
    (response,) = await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, dict(config))])
    code, message, *_ = response.resources[0]
    if code:
        raise AdminError(f"topic {name} could not be altered: {_why(code, message)}")


async def _offsets(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, tuple[int, int]]:
    """Partition -> its lowest and its next offset."""
    first, end = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    return {tp: (first[tp], end[tp]) for tp in partitions}


def _why(code: int, message: str | None = None) -> str:
    return message or for_code(code).__name__
