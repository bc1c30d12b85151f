from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.kafka.liveness import Position
from streams.kafka.positions import Positions


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
