"""A broker that stops, dies or freezes under a worker that fetches, sends and commits: waited for in place."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from integration.engine.brokers import Broker, own_broker
from integration.engine.rig import PARTITIONS, Rig, producing, rig

#: Seconds that a broker is frozen for: beyond the group's session (6 s), as a rule; the long form goes on to 100 s.
FROZEN_S = [float(each) for each in os.environ.get("UNDERTONE_FROZEN_S", "8").split(",")]


@pytest.fixture
async def faulty(tmp_path: Path) -> AsyncIterator[tuple[Broker, Rig]]:
    """A broker of the test's own, and a worker on it that sends on whatever it reads."""
    with own_broker(tmp_path / "kafka") as broker, rig(broker.bootstrap, tmp_path) as made:
        await made.create()
        await made.create(f"{made.topic}.out")
        made.start(out=f"{made.topic}.out")
        await made.produce(400)
        await made.until(lambda: len(made.effects()) == 400)
        yield broker, made


async def sent_on(made: Rig) -> set[tuple[int, int]]:
    """The (partition, offset) of every record that the worker sent on."""
    partitions = [TopicPartition(f"{made.topic}.out", number) for number in range(PARTITIONS)]
    found: set[tuple[int, int]] = set()
    async with AIOKafkaConsumer(bootstrap_servers=made.bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found |= {(int(place[0]), int(place[1])) for place in (record.value.split() for record in records)}
    return found


async def settle(made: Rig) -> None:
    """Everything that was published is committed, was handled, and was sent on; the worker never ended."""
    await made.finish()
    assert await sent_on(made) >= made.effects().keys()
    assert made.workers[0].alive


async def test_a_worker_whose_handler_waits_for_a_broker_that_is_gone_ends_by_sigterm(tmp_path: Path) -> None:
    with own_broker(tmp_path / "kafka") as broker, rig(broker.bootstrap, tmp_path) as made:
        await made.create()
        await made.create(f"{made.topic}.out")
        worker = made.start(out=f"{made.topic}.out", batch_s=2)
        await made.produce(100)
        await made.until(lambda: made.notes("begun"))
        await asyncio.to_thread(broker.kill)
        await asyncio.sleep(3)
        assert not made.notes("ended")
        assert await asyncio.to_thread(worker.terminate) == 0, worker.log()
    assert not made.effects()


async def test_a_broker_that_is_stopped_and_one_that_is_killed_are_waited_for(faulty: tuple[Broker, Rig]) -> None:
    broker, made = faulty
    for ending in (broker.stop, broker.kill):
        async with producing(made, 3_000, rate=600):
            await asyncio.sleep(1)
            await asyncio.to_thread(ending)
            await asyncio.sleep(2)
            await asyncio.to_thread(broker.start)
            await made.check()
    await settle(made)


@pytest.mark.parametrize("frozen_s", FROZEN_S)
async def test_a_broker_that_freezes_is_waited_for(faulty: tuple[Broker, Rig], frozen_s: float) -> None:
    broker, made = faulty
    async with producing(made, 3_000, rate=600):
        await asyncio.sleep(1)
        broker.freeze()
        await asyncio.sleep(frozen_s)
        broker.thaw()
        await made.check()
    await settle(made)
