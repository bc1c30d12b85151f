"""Compressed batches against the real broker: it stores none compressed, and none that is too large once unpacked."""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka import Producer

from services.standalone.kafka import broker, wait_until_ready
from services.standalone.places import free_port
from services.standalone.supervisor import Incident, Supervisor
from streams.kafka.admin import apply_topics
from streams.settings import Settings
from streams.topics import TOPICS, Topic

MIB = 1 << 20
CODECS = ("gzip", "zstd", "lz4", "snappy")
TOO_LARGE = "Broker: Message size too large"


def sent(kafka: str, topic: str, value: bytes, codec: str) -> str | None:
    """The broker's answer to one record in a compressed batch; None: taken."""
    producer = Producer(
        {
            "bootstrap.servers": kafka,
            "compression.type": codec,
            "message.max.bytes": 1_000_000_000,
            "retries": 0,
            "log_level": 0,
        }
    )
    answers: list[str | None] = []
    producer.produce(topic, value, on_delivery=lambda error, _: answers.append(error and error.str()))
    producer.flush(60)
    return answers[0]


async def read(kafka: str, topic: str, count: int) -> list[bytes | None]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    found = [(await consumer.getone()).value for _ in range(count)]
    await consumer.stop()
    return found


@pytest.mark.parametrize("declared", TOPICS, ids=lambda topic: topic.name)
async def test_a_compressed_bomb_is_refused_by_the_broker_and_what_is_small_is_stored_unpacked(
    kafka: str, declared: Topic
) -> None:
    """The consumer has no zstd, lz4 or snappy: it could not read them as they came."""
    topic = Topic(f"{declared.name}-{uuid.uuid4().hex}", declared.config)
    await apply_topics(Settings(kafka=kafka, partitions=1), [topic])
    small = {codec: codec.encode() * 1000 for codec in CODECS}
    for codec in CODECS:
        assert sent(kafka, topic.name, bytes(10 * MIB), codec) == TOO_LARGE
        assert sent(kafka, topic.name, small[codec], codec) is None
    assert await read(kafka, topic.name, len(CODECS)) == list(small.values())


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[tuple[str, Supervisor, list[Incident]]]:
    incidents: list[Incident] = []
    port = free_port()
    program, supervisor = broker(tmp_path / "kafka", port), Supervisor(incidents.append)
    supervisor.add(program)
    process = supervisor.process("kafka")
    assert process is not None
    wait_until_ready(program, process)
    yield f"127.0.0.1:{port}", supervisor, incidents
    supervisor.stop()


async def test_a_bomb_that_the_brokers_memory_cannot_hold_ends_the_broker_and_leaves_nothing_of_itself(
    supervised: tuple[str, Supervisor, list[Incident]],
) -> None:
    kafka, supervisor, incidents = supervised
    await apply_topics(Settings(kafka=kafka, partitions=1))
    topic = TOPICS[0].name
    assert sent(kafka, topic, b"before", "gzip") is None
    assert sent(kafka, topic, bytes(300 * MIB), "gzip") not in {None, TOO_LARGE}
    deadline = time.monotonic() + 60
    while not incidents or supervisor.process("kafka") is None:
        assert time.monotonic() < deadline, "the broker still runs"
        supervisor.look()
        time.sleep(0.1)
    process = supervisor.process("kafka")
    assert process is not None
    assert psutil.Process(process.pid).is_running()
    assert "OutOfMemoryError" in "".join(incidents[0].log)
    while sent(kafka, topic, b"after", "gzip") is not None:
        assert time.monotonic() < deadline, "the broker does not come back"
    assert await read(kafka, topic, 2) == [b"before", b"after"]
