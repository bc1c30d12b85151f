"""What aiokafka does that the sender and the feed answer or rely on; see `test_faust.py`."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import CommitFailedError, KafkaConnectionError, KafkaError, MessageSizeTooLargeError
from integration.engine.rig import publish_unreadable

from services.standalone.places import free_port


@pytest.fixture
async def topic(kafka: str) -> str:
    name = f"aiokafka-{uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(name, 2, 1, topic_configs={"max.message.bytes": "20000"})])
    await admin.close()
    return name


async def test_after_a_refused_batch_an_idempotent_producer_is_refused_for_ever(kafka: str, topic: str) -> None:
    """Answer: `KafkaSender` replaces a producer that gave up."""
    async with AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True) as producer:
        await producer.send_and_wait(topic, b"first", partition=0)
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(topic, bytes(30_000), partition=0)
        for _ in range(2):
            with pytest.raises((KafkaError, TimeoutError)):
                async with asyncio.timeout(3):
                    await producer.send_and_wait(topic, b"next", partition=0)


async def test_a_client_that_finds_no_broker_gives_up_at_once() -> None:
    """Answer: `Feed._join` and `KafkaSender` try again."""
    consumer = AIOKafkaConsumer("t", group_id="g", bootstrap_servers=f"127.0.0.1:{free_port()}")
    with pytest.raises(KafkaConnectionError):
        await consumer.start()
    await consumer.stop()


class Watching(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Takes its time over a revocation."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        if revoked:
            self.seen.append("revoking")
            await asyncio.sleep(1)
            self.seen.append("revoked")

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:  # noqa: ARG002
        self.seen.append("assigned")


async def test_a_revocation_is_awaited_before_the_group_goes_on_and_a_late_commit_is_refused(
    kafka: str, topic: str
) -> None:
    """Relied on by `Feed.on_partitions_revoked`, which waits for the running handler, and by `Feed._commit`."""
    arguments = {"bootstrap_servers": kafka, "group_id": topic, "enable_auto_commit": False, "session_timeout_ms": 6000}
    first, watching = AIOKafkaConsumer(**arguments), Watching()
    first.subscribe([topic], listener=watching)
    async with first, AIOKafkaConsumer(topic, **arguments):
        while watching.seen != ["assigned", "revoking", "revoked", "assigned"]:
            await asyncio.sleep(0.1)
        first._coordinator.generation -= 1  # as a worker that was frozen remembers it
        [mine] = first.assignment()
        with pytest.raises(CommitFailedError):
            await first.commit({mine: 1})


async def test_a_header_whose_name_is_not_utf8_raises_at_every_fetch(kafka: str, topic: str) -> None:
    """Answer: `streams.kafka.unreadable` puts a hollow record in its place."""
    await publish_unreadable(kafka, topic, 0)
    async with AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest") as consumer:
        odd = TopicPartition(topic, 0)
        consumer.assign([odd])
        for _ in range(3):
            with pytest.raises(UnicodeDecodeError):
                await consumer.getmany(timeout_ms=5_000, max_records=1)
            assert await consumer.position(odd) == 0
