"""The sender against a real broker: acknowledged, in order, and patient."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError

from ops.chaos.proxy import Proxy, Toxics, Way, proxying
from services.standalone.kafka import broker, wait_until_ready
from services.standalone.places import free_port
from services.standalone.processes import running
from streams.kafka.cloudevents import partition_of
from streams.kafka.producer import KafkaSender, SendError
from streams.ports import Outgoing

PARTITIONS = 3


async def make_topic(bootstrap: str, **config: str) -> str:
    name = f"sent-{uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    new = NewTopic(name, PARTITIONS, 1, topic_configs={key.replace("_", "."): value for key, value in config.items()})
    await admin.create_topics([new])
    await admin.close()
    return name


async def everything(bootstrap: str, topic: str) -> dict[int, list[tuple[bytes, bytes]]]:
    """Partition -> (key, value) of its records, to the end of the topic at this moment."""
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    async with consumer:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        read: dict[int, list[tuple[bytes, bytes]]] = {number: [] for number in range(PARTITIONS)}
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                read[tp.partition] += [(record.key, record.value) for record in records]
    return read


def outgoing(topic: str, key: str, number: int) -> Outgoing:
    return Outgoing(topic, key.encode(), b"%06d" % number, (("ce_id", b"%d" % number),))


async def test_every_record_is_there_when_send_returns_in_order_on_its_keys_partition(kafka: str) -> None:
    topic = await make_topic(kafka)
    records = [outgoing(topic, f"call-{number % 7}", number) for number in range(2000)]
    async with KafkaSender({"bootstrap_servers": kafka}) as sender:
        await sender.send(records)
        read = await everything(kafka, topic)
    assert sum(map(len, read.values())) == 2000
    for partition, found in read.items():
        assert all(partition_of(key, PARTITIONS) == partition for key, _ in found)
        for call in {key for key, _ in found}:
            values = [value for key, value in found if key == call]
            assert values == sorted(values)


async def test_a_record_larger_than_its_topic_takes_is_refused_and_the_next_one_goes_through(kafka: str) -> None:
    topic = await make_topic(kafka, max_message_bytes="20000")
    async with KafkaSender({"bootstrap_servers": kafka}) as sender:
        with pytest.raises(SendError, match="larger than its topic takes"):
            await sender.send([Outgoing(topic, b"k", bytes(30_000))])
        with pytest.raises(SendError, match="larger than its topic takes"):
            await sender.send([Outgoing(topic, b"k", bytes(3_000_000))])
        await sender.send([outgoing(topic, "k", 1)])
        read = await everything(kafka, topic)
    assert [record for found in read.values() for record in found] == [(b"k", b"000001")]


async def test_starting_without_a_broker_fails_at_once() -> None:
    with pytest.raises(KafkaConnectionError):
        await KafkaSender({"bootstrap_servers": f"127.0.0.1:{free_port()}"}).start()


async def test_a_broker_that_is_killed_in_the_middle_is_waited_for_and_nothing_is_lost(tmp_path: Path) -> None:
    port = free_port()
    bootstrap = f"127.0.0.1:{port}"
    sender = KafkaSender({"bootstrap_servers": bootstrap, "request_timeout_ms": 3000})
    acknowledged: list[int] = []

    async def send_all(topic: str, numbers: range) -> None:
        for first in numbers[::20]:
            chosen = range(first, first + 20)
            await sender.send([outgoing(topic, f"call-{number % 7}", number) for number in chosen])
            acknowledged.extend(chosen)

    program = broker(tmp_path, port)
    with running(program) as process:
        await asyncio.to_thread(wait_until_ready, program, process)
        topic = await make_topic(bootstrap)
        await send_all(topic, range(200))
        process.kill()
        process.wait()
    waiting = asyncio.create_task(send_all(topic, range(200, 1000)))
    await asyncio.sleep(8)  # longer than a request may take, so that attempts fail and are made again
    assert not waiting.done()
    program = broker(tmp_path, port)
    with running(program) as process:
        await asyncio.to_thread(wait_until_ready, program, process)
        await asyncio.wait_for(waiting, 60)
        await sender.send([outgoing(topic, "after", 1000)])
        await sender.stop()
        read = await everything(bootstrap, topic)
    found = [record for records in read.values() for record in records]
    assert {int(value) for _, value in found} == {*acknowledged, 1000} == set(range(1001))
    for call in {key for key, _ in found}:
        firsts = list(dict.fromkeys(value for key, value in found if key == call))
        assert all(earlier < later for earlier, later in pairwise(firsts))


@asynccontextmanager
async def behind_a_proxy(folder: Path) -> AsyncIterator[tuple[Proxy, str]]:
    """A broker that tells its clients to come through the proxy, and the proxy's address."""
    port, told = free_port(), free_port()
    program = broker(folder, port)
    settings = folder / "server.properties"
    said = "advertised.listeners=BROKER://127.0.0.1:"
    settings.write_text(settings.read_text().replace(f"{said}{port}", f"{said}{told}"))
    with running(program) as process:
        await asyncio.to_thread(wait_until_ready, program, process)
        async with proxying(Proxy(port, Random(1)), told) as proxy:  # noqa: S311 - the same in every run
            yield proxy, f"127.0.0.1:{told}"


SILENT, REFUSED = Toxics(blackhole=frozenset(Way)), Toxics(down=True)


async def test_of_a_send_that_was_given_up_nothing_is_written_once_the_broker_is_back(tmp_path: Path) -> None:
    ways = {"silent": [SILENT], "refused": [REFUSED], "lost and then silent": [REFUSED, SILENT]}
    async with behind_a_proxy(tmp_path) as (proxy, bootstrap):
        topic = await make_topic(bootstrap)
        async with KafkaSender({"bootstrap_servers": bootstrap}) as sender:
            for number, toxics in enumerate(ways.values()):
                await sender.send([outgoing(topic, "before", number)])
                for each in toxics:
                    proxy.spoil(each)
                sending = asyncio.create_task(sender.send([outgoing(topic, "given up", number)]))
                await asyncio.sleep(1)
                assert sending.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await sending
                await asyncio.sleep(0.5)  # the proxy is of this loop, and learns of it after us
                proxy.heal()
                await asyncio.sleep(1)  # longer than a producer waits before it tries again
                await sender.send([outgoing(topic, "after", number)])
        read = await everything(bootstrap, topic)
    expected = {(key, b"%06d" % number) for key in (b"before", b"after") for number in range(len(ways))}
    assert {record for found in read.values() for record in found} == expected
    assert sum(map(len, read.values())) == len(expected)


async def test_what_others_were_sending_beside_a_send_that_was_given_up_arrives(tmp_path: Path) -> None:
    async with behind_a_proxy(tmp_path) as (proxy, bootstrap):
        topic = await make_topic(bootstrap)
        async with KafkaSender({"bootstrap_servers": bootstrap}) as sender:
            await sender.send([outgoing(topic, "before", 1)])
            proxy.spoil(SILENT)
            given_up, patient = (
                asyncio.create_task(sender.send([outgoing(topic, key, 2)])) for key in ("given up", "patient")
            )
            await asyncio.sleep(1)
            given_up.cancel()
            await asyncio.sleep(0.1)
            proxy.heal()
            async with asyncio.timeout(20):
                await patient
        read = await everything(bootstrap, topic)
    assert {key for found in read.values() for key, _ in found} == {b"before", b"patient"}
