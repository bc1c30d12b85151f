"""Following a topic on a real broker, from the beginning, from now, from a time."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from streams.domain.deadletters import Reason, UnusableError
from streams.kafka.admin import apply_topics
from streams.kafka.connection import connection
from streams.kafka.producer import KafkaSender
from streams.kafka.publish import NoTopicError, Since, subscribe
from streams.ports import Fetched, Outgoing
from streams.settings import Settings
from streams.topics import Topic


def number(record: Fetched) -> int:
    if record.value == b"bad":
        raise UnusableError(Reason.MALFORMED, "not a number")
    return int(record.value or b"")


async def following(settings: Settings, topic: str, since: Since, count: int) -> list[int]:
    async with subscribe(settings, topic, number, since=since) as numbers:
        return [await anext(numbers) for _ in range(count)]


async def make_topic(settings: Settings) -> str:
    topic = Topic(f"followed-{uuid4().hex}", {"message.timestamp.type": "LogAppendTime"})
    await apply_topics(settings, [topic])
    return topic.name


async def test_a_follower_reads_from_the_beginning_from_now_or_from_a_time(kafka: str) -> None:
    settings = Settings(kafka=kafka, partitions=1)
    topic = await make_topic(settings)
    async with KafkaSender(connection(settings)) as sender:
        await sender.send([Outgoing(topic, b"k", b"1"), Outgoing(topic, b"k", b"bad"), Outgoing(topic, b"k", b"2")])
        await asyncio.sleep(0.02)
        between = datetime.now(UTC)
        await asyncio.sleep(0.02)
        await sender.send([Outgoing(topic, b"k", b"3")])
        assert await following(settings, topic, "earliest", 3) == [1, 2, 3]
        assert await following(settings, topic, between, 1) == [3]
        async with subscribe(settings, topic, number) as latest:
            await sender.send([Outgoing(topic, b"k", b"4")])
            assert await anext(latest) == 4
        async with subscribe(settings, topic, number, since=datetime.now(UTC)) as later:
            await sender.send([Outgoing(topic, b"k", b"5")])
            assert await anext(later) == 5


async def test_following_a_topic_that_is_not_there_says_what_to_do(kafka: str) -> None:
    with pytest.raises(NoTopicError, match="undertone topics apply"):
        await following(Settings(kafka=kafka), "no-such-topic", "latest", 1)
