"""Topics applied to a real broker, and what it says of its groups."""

from datetime import timedelta
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.kafka.admin import AdminError, apply_topics, lag, lives, retained
from streams.kafka.connection import connection
from streams.kafka.producer import KafkaSender
from streams.ports import Outgoing
from streams.settings import Settings
from streams.topics import TOPICS, Topic


def settings(kafka: str, partitions: int = 3) -> Settings:
    return Settings(kafka=kafka, partitions=partitions)


def topic(**config: str) -> Topic:
    return Topic(f"applied-{uuid4().hex}", {name.replace("_", "."): value for name, value in config.items()})


async def config_of(kafka: str, name: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    await admin.close()
    return {entry[0]: entry[1] for entry in response.resources[0][4]}


async def test_every_declared_topic_is_created_as_declared_and_a_second_time_changes_nothing(kafka: str) -> None:
    wanted = [Topic(f"{declared.name}-{uuid4().hex}", declared.config) for declared in TOPICS]
    changes = await apply_topics(settings(kafka), wanted)
    assert changes == [f"{new.name}: created with 3 partitions" for new in wanted]
    assert await apply_topics(settings(kafka), wanted) == []
    for new in wanted:
        assert new.config.items() <= (await config_of(kafka, new.name)).items()


async def test_a_setting_that_differs_is_altered_and_one_of_the_operators_own_is_kept(kafka: str) -> None:
    before = topic(retention_ms="1000", min_insync_replicas="1")
    await apply_topics(settings(kafka), [before])
    after = Topic(before.name, {"retention.ms": "2000", "segment.ms": "60000"})
    assert await apply_topics(settings(kafka), [after]) == [
        f"{after.name}: retention.ms 1000 -> 2000",
        f"{after.name}: segment.ms 604800000 -> 60000",
    ]
    config = await config_of(kafka, after.name)
    assert (config["retention.ms"], config["segment.ms"], config["min.insync.replicas"]) == ("2000", "60000", "1")


async def test_partitions_are_added_and_never_taken_away(kafka: str) -> None:
    grown = topic()
    await apply_topics(settings(kafka, 2), [grown])
    assert await apply_topics(settings(kafka, 4), [grown]) == [f"{grown.name}: partitions 2 -> 4"]
    with pytest.raises(AdminError, match="set UNDERTONE_PARTITIONS to 4 or more"):
        await apply_topics(settings(kafka, 3), [grown])


async def test_a_setting_that_the_broker_does_not_know_is_named(kafka: str) -> None:
    with pytest.raises(AdminError, match="could not be created"):
        await apply_topics(settings(kafka), [topic(no_such_setting="1")])


async def test_lag_is_what_the_group_has_not_committed(kafka: str) -> None:
    read, group = topic(), f"group-{uuid4().hex}"
    await apply_topics(settings(kafka, 1), [read])
    async with KafkaSender(connection(settings(kafka))) as sender:
        await sender.send([Outgoing(read.name, b"k", b"v") for _ in range(10)])
    (before,) = await lag(settings(kafka), {group: read.name})
    assert (before.committed, before.behind) == (None, 10)
    async with AIOKafkaConsumer(bootstrap_servers=kafka, group_id=group, enable_auto_commit=False) as consumer:
        tp = TopicPartition(read.name, 0)
        consumer.assign([tp])
        await consumer.commit({tp: 4})
    (after,) = await lag(settings(kafka), {group: read.name})
    assert (after.committed, after.end, after.behind) == (4, 10, 6)
    assert await retained(settings(kafka), read.name) == 10
    assert await retained(settings(kafka), "no-such-topic") == 0


async def test_how_long_a_record_lives_is_what_the_broker_has_set(kafka: str) -> None:
    short = topic(retention_ms="1000", segment_ms="60000", file_delete_delay_ms="2000")
    plain, kept, missing = topic(retention_ms="1000"), topic(retention_ms="-1"), topic(retention_ms="1")
    await apply_topics(settings(kafka), [short, plain, kept])
    found = await lives(settings(kafka), [short, plain, kept, missing])
    check = timedelta(minutes=1)  # the standalone broker's own; Kafka's is 5
    assert found == {
        short.name: check + timedelta(seconds=1 + 60 + 2),
        plain.name: check + timedelta(days=7, minutes=1, seconds=1),
        kept.name: None,
    }
