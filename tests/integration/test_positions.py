import asyncio
import gc
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.errors import KafkaConnectionError, KafkaError
from integration.engine.brokers import own_broker

from services.standalone.places import free_port
from streams.kafka.liveness import Position
from streams.kafka.positions import Enquiry, Positions


async def test_the_broker_tells_what_is_committed_and_where_each_partition_ends(kafka: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic("positions", 2, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for _ in range(5):
            await producer.send_and_wait("positions", b"x", partition=1)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, group_id="positions", enable_auto_commit=False)
    consumer.assign([TopicPartition("positions", 1)])
    async with consumer:
        await consumer.commit({TopicPartition("positions", 1): 3})
    async with Positions({"bootstrap_servers": kafka}) as positions:
        assert await positions.read("positions", "positions") == {0: Position(0, 0), 1: Position(3, 5)}
        assert await positions.read("positions", "positions", [1]) == {1: Position(3, 5)}
        assert await positions.read("nobody", "positions", [1]) == {1: Position(0, 5)}
        assert await positions.read("positions", "no-such-topic") == {}


async def test_what_retention_took_before_it_was_committed_is_told(kafka: str) -> None:
    partition = TopicPartition("overtaken", 0)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic("overtaken", 1, 1)])
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for _ in range(5):
            await producer.send_and_wait("overtaken", b"x", partition=0)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, group_id="overtaken", enable_auto_commit=False)
    consumer.assign([partition])
    async with consumer:
        await consumer.commit({partition: 1})
    await admin.delete_records({partition: RecordsToDelete(before_offset=4)})
    await admin.close()
    async with Positions({"bootstrap_servers": kafka}) as positions:
        assert await positions.read("overtaken", "overtaken") == {0: Position(4, 5, lost=3)}
        assert await positions.read("nobody", "overtaken") == {0: Position(4, 5)}  # it never was there to lose them


async def test_a_broker_that_is_away_leaves_no_client_open() -> None:
    with pytest.raises(KafkaConnectionError):
        async with Positions({"bootstrap_servers": f"127.0.0.1:{free_port()}"}):
            pass
    gc.collect()  # a client that nobody closed warns now, and warnings are errors


async def answer(enquiry: Enquiry) -> Mapping[int, Position]:
    """Ask as liveness does, until there is an answer."""
    async with asyncio.timeout(60):
        while True:
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(2):
                    return await enquiry.ask()
            await asyncio.sleep(0.1)


async def test_a_broker_that_comes_back_at_another_address_is_found_again(tmp_path: Path) -> None:
    with own_broker(tmp_path / "kafka") as broker:
        named = [broker.bootstrap, f"127.0.0.1:{free_port()}"]
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic("moved", 1, 1)])
        await admin.close()
        enquiry = Enquiry(lambda: Positions({"bootstrap_servers": named}), "nobody", "moved", lambda: [0])
        assert await answer(enquiry) == {0: Position(0, 0)}
        await asyncio.to_thread(broker.stop)
        broker.port = int(named[1].rpartition(":")[2])
        await asyncio.to_thread(broker.start)
        assert await answer(enquiry) == {0: Position(0, 0)}
        await enquiry.close()
