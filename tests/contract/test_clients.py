"""Other people's clients: what they publish is read here, what the project writes is read there, over a real broker."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from cloudevents.core.bindings import kafka as sdk
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Consumer, Producer

from streams.domain.records import CallRecord
from streams.kafka import cloudevents as codec
from streams.kafka.admin import apply_topics
from streams.kafka.connection import connection
from streams.kafka.producer import KafkaSender
from streams.ports import Fetched, Outgoing
from streams.settings import Settings
from streams.topics import CALLS, Topic

PARTITIONS = 5
JSON = "application/json"
ENCODERS = {
    "window": codec.encode_window,
    "label": codec.encode_label,
    "label-abstained": codec.encode_label,
    "label-marked": codec.encode_label,
    "label-uncalibrated": codec.encode_label,
    "escalation": codec.encode_escalation,
    "deadletter": codec.encode_deadletter,
}

Seen = tuple[bytes, dict[str, bytes], bytes]  #: key, headers, payload


@pytest.fixture
async def topic(kafka: str) -> str:
    """A topic of this test's own with the settings of `calls.v1`."""
    new = Topic(f"contract-{uuid4().hex}", CALLS.config)
    await apply_topics(Settings(kafka=kafka, partitions=PARTITIONS), [new])
    return new.name


@pytest.fixture
def calls(call: list[CallRecord]) -> list[CallRecord]:
    """The call under several ids, for one alone may lie on the right partition by chance."""
    return [replace(record, call_id=f"call-{number}") for number in range(12) for record in call]


@pytest.fixture
def written(call: list[CallRecord], derived: Mapping[str, object], topic: str) -> list[Outgoing]:
    """A record of every type as the project writes it."""
    records = [codec.encode_call(record) for record in call]
    records += [ENCODERS[name](record) for name, record in derived.items()]
    return [replace(record, topic=topic) for record in records]


async def assert_read(kafka: str, topic: str, published: Sequence[CallRecord]) -> None:
    """Our codec reads the topic as `published`, each call in order and where its key belongs."""
    read = [(record.partition, codec.decode_call(record)) for record in await everything(kafka, topic, len(published))]
    for partition, record in read:
        assert codec.partition_of(record.call_id.encode(), PARTITIONS) == partition
    for call_id in {record.call_id for record in published}:
        told = [_undated(record) for _, record in read if record.call_id == call_id]
        assert told == [_undated(record) for record in published if record.call_id == call_id]


def _undated(record: CallRecord) -> tuple[object, ...]:
    return (record.call_id, record.sequence, record.media_ms, record.body)


async def everything(kafka: str, topic: str, count: int) -> list[Fetched]:
    async with AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest") as consumer:
        return [await consumer.getone() for _ in range(count)]


async def test_a_call_published_with_the_cloudevents_sdk_is_read(
    kafka: str, topic: str, calls: list[CallRecord]
) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for record in calls:
            message = sdk.to_binary(as_event(record), JSONFormat(), key_mapper=lambda event: event.get_subject())
            headers = list(message.headers.items())
            await producer.send_and_wait(topic, message.value, key=message.key.encode(), headers=headers)
    await assert_read(kafka, topic, calls)


def as_event(record: CallRecord) -> CloudEvent:
    """As a publisher that knows the SDK and the AsyncAPI document would tell it."""
    outgoing = codec.encode_call(record)
    headers = {name: value.decode() for name, value in outgoing.headers}
    media_type = headers["content-type"]
    attributes = {
        "id": f"{record.call_id}/{record.sequence}",
        "source": "/pbx/7",
        "type": headers["ce_type"],
        "specversion": "1.0",
        "time": record.logged_at,
        "subject": record.call_id,
        "datacontenttype": media_type,
        "sequence": str(record.sequence),
        "mediatime": str(record.media_ms),
    }
    return CloudEvent(attributes, json.loads(outgoing.value) if media_type == JSON else outgoing.value)


@pytest.mark.needs("kcat")
async def test_a_call_published_with_kcat_is_read(
    kafka: str, topic: str, calls: list[CallRecord], tmp_path: Path
) -> None:
    for record in calls[:21]:
        outgoing = codec.encode_call(record)
        payload = tmp_path / "payload"
        payload.write_bytes(outgoing.value)
        headers = [f"-H{name}={value.decode()}" for name, value in outgoing.headers]
        command = ["kcat", "-P", "-b", kafka, "-X", "partitioner=murmur2_random", "-t", topic, "-k", outgoing.key]
        subprocess.run([*command, *headers, str(payload)], check=True, timeout=30)
    await assert_read(kafka, topic, calls[:21])


async def test_a_call_published_with_confluent_kafka_is_read(kafka: str, topic: str, calls: list[CallRecord]) -> None:
    producer = Producer({"bootstrap.servers": kafka, "partitioner": "murmur2_random"})
    for record in calls:
        outgoing = codec.encode_call(record)
        producer.produce(topic, outgoing.value, key=outgoing.key, headers=list(outgoing.headers))
    assert producer.flush(30) == 0
    await assert_read(kafka, topic, calls)


async def test_what_the_project_writes_is_read_with_the_cloudevents_sdk(
    kafka: str, topic: str, written: list[Outgoing]
) -> None:
    await send(kafka, written)
    events = {
        (event.get_subject(), event.get_type(), event.get_id()): event
        for record in await everything(kafka, topic, len(written))
        for event in [sdk.from_binary_event(sdk.KafkaMessage(dict(record.headers), record.key, record.value))]
    }
    assert len(events) == len(written) - 3  # the four labels are of one window: one event, told four times
    for outgoing in written:
        headers = {name: value.decode() for name, value in outgoing.headers}
        event = events[headers["ce_subject"], headers["ce_type"], headers["ce_id"]]
        assert event.get_datacontenttype() == headers["content-type"]
        if headers["content-type"] != JSON:
            assert event.get_data() == outgoing.value
        elif headers["ce_type"] != codec.LABEL:
            assert event.get_data() == json.loads(outgoing.value)


@pytest.mark.needs("kcat")
async def test_what_the_project_writes_is_read_with_kcat(kafka: str, topic: str, written: list[Outgoing]) -> None:
    await send(kafka, written)
    command = ["kcat", "-C", "-e", "-q", "-o", "beginning", "-b", kafka, "-t", topic, "-f", r"%S %k %h\n%s\n"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=30)
    assert sorted(from_kcat(done.stdout), key=repr) == sorted(map(as_seen, written), key=repr)


def from_kcat(output: bytes) -> Iterator[Seen]:
    while output:
        line, output = output.split(b"\n", 1)
        size, key, headers = line.split(b" ", 2)
        pairs = (header.split(b"=", 1) for header in headers.split(b","))
        yield key, {name.decode(): value for name, value in pairs}, output[: int(size)]
        output = output[int(size) + 1 :]


def as_seen(record: Outgoing) -> Seen:
    return record.key, dict(record.headers), record.value


async def test_what_the_project_writes_is_read_with_confluent_kafka(
    kafka: str, topic: str, written: list[Outgoing]
) -> None:
    await send(kafka, written)
    settings = {"bootstrap.servers": kafka, "group.id": uuid4().hex, "auto.offset.reset": "earliest"}
    with closing(Consumer(settings)) as consumer:
        consumer.subscribe([topic])
        messages = [consumer.poll(30) for _ in written]
    read = [(message.key(), dict(message.headers()), message.value()) for message in messages]
    assert sorted(read, key=repr) == sorted(map(as_seen, written), key=repr)


async def send(kafka: str, records: Sequence[Outgoing]) -> None:
    async with KafkaSender(connection(Settings(kafka=kafka))) as sender:
        await sender.send(records)
