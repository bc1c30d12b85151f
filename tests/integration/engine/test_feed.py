"""What the feed commits on a real broker: never an offset whose record has not had its effect."""

import asyncio
from random import Random

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from integration.engine.rig import PARTITIONS, Rig, producing

TEMPFAIL = 75


async def test_a_handler_that_raises_ends_the_process_and_nothing_past_it_is_committed(engine: Rig) -> None:
    await engine.produce(4_000)
    worker = engine.start(raise_at=321)
    assert worker.wait() == TEMPFAIL
    assert all(offset <= 321 for offset in (await engine.check()).values())
    engine.start("again")
    await engine.finish()


async def test_records_that_aiokafka_cannot_read_are_passed_on_hollow_and_nothing_beside_them_is_lost(
    engine: Rig,
) -> None:
    await engine.produce(400)
    await engine.produce_unreadable(0)
    await engine.produce_unreadable(0)
    await engine.produce(400)
    await engine.produce_unreadable(2)
    worker = engine.start()
    await engine.finish()
    await engine.produce_unreadable(1)
    await engine.produce(400)
    await engine.finish()
    assert worker.alive


async def test_records_held_back_and_released_out_of_order_hold_the_commit_back(engine: Rig) -> None:
    await engine.produce(3_000)
    engine.start(hold_every=17, hold_s=6)
    await engine.until(lambda: len(engine.effects()) > 2_000)
    assert sum((await engine.check()).values()) < 2_000
    assert await engine.finish() == 0


async def test_a_worker_killed_twice_while_records_are_held_back_loses_nothing(
    engine: Rig, rounds: int, chance: Random
) -> None:
    for _ in range(rounds):
        before = len(engine.effects())
        for _ in range(2):
            await engine.produce(2_000)
            worker = engine.start(hold_every=17, hold_s=2)
            await engine.until(lambda seen=before: len(engine.effects()) > seen + 500)
            await asyncio.sleep(chance.uniform(0, 1.5))
            worker.kill()
            await engine.check()
            before = len(engine.effects())
    engine.start("last", hold_every=17, hold_s=1)
    await engine.finish()


async def test_workers_that_join_leave_and_are_killed_under_load_lose_nothing(engine: Rig, rounds: int) -> None:
    survivor = engine.start("survivor", hold_every=97, hold_s=1)
    await engine.produce(400)
    await engine.until(lambda: engine.wrote("survivor") > 200)
    for turn in range(rounds):
        async with producing(engine, 9_000, rate=600):
            for name, leave in ((f"polite-{turn}", True), (f"killed-{turn}", False)):
                other = engine.start(name, hold_every=97, hold_s=1)
                await engine.until(lambda name=name: engine.wrote(name) > 100)
                await engine.check()
                if leave:
                    assert other.terminate() == 0
                else:
                    other.kill()
                await engine.check()
                mine = engine.wrote("survivor")
                await engine.until(lambda mine=mine: engine.wrote("survivor") > mine)
    await engine.finish()
    assert survivor.alive


async def test_a_fetched_batch_is_never_lost_to_a_rebalance(engine: Rig, rounds: int, chance: Random) -> None:
    """Somebody joins and leaves the group again and again while fetches are under way."""
    worker = engine.start(batch_s=0.01)
    async with producing(engine, 8_000 * rounds, rate=1_500) as load:
        await engine.until(lambda: len(engine.effects()) > 500)
        while not load.done():
            guest = AIOKafkaConsumer(
                engine.topic, bootstrap_servers=engine.bootstrap, group_id=engine.group, enable_auto_commit=False
            )
            await guest.start()
            await asyncio.sleep(chance.uniform(0, 0.3))
            await guest.stop()
            await engine.check()
    await engine.finish()
    assert worker.alive


async def test_sigterm_lets_a_slow_handler_finish_and_commits_it(engine: Rig) -> None:
    await engine.produce(100)
    worker = engine.start(batch_s=3)
    await engine.until(lambda: engine.notes("begun"))
    assert worker.terminate() == 0
    ended = sum(records for records, _ in engine.notes("ended"))
    assert ended > 0
    assert sum((await engine.check()).values()) == ended
    assert len(engine.notes("begun")) == len(engine.notes("ended")) < PARTITIONS  # no other batch was begun


async def test_an_idle_worker_ends_with_0(engine: Rig) -> None:
    worker = engine.start()
    await engine.produce(40)
    await engine.finish()
    assert worker.terminate() == 0


async def test_a_worker_under_load_ends_with_0_and_what_it_handled_is_committed(
    engine: Rig, rounds: int, chance: Random
) -> None:
    for turn in range(3 * rounds):
        async with producing(engine, 3_000, rate=1_500):
            worker = engine.start(f"worker-{turn}", batch_s=0.05)
            await engine.until(lambda turn=turn: engine.wrote(f"worker-{turn}") > 100)
            await asyncio.sleep(chance.uniform(0, 0.5))
            assert worker.terminate() == 0, worker.log()
            assert sum((await engine.check()).values()) == len(engine.effects())
    engine.start("last")
    assert await engine.finish() == 0


async def test_what_waits_to_be_handled_is_bounded_in_bytes(engine: Rig) -> None:
    """Budget 2 MB: it can be passed by one fetch, which aiokafka bounds at 1 MiB a partition."""
    await engine.produce(2_400, nbytes=20_000)
    engine.start(budget=2_000_000, batch_s=0.5)
    await engine.until(lambda: len(engine.notes("ended")) >= 8)
    peak = max(queued for _, queued in engine.notes("begun"))
    assert 1_000_000 < peak <= 2_000_000 + PARTITIONS * 1_100_000
    await engine.check()


async def test_a_worker_whose_queue_is_full_for_longer_than_it_may_be_silent_stays_in_its_group(engine: Rig) -> None:
    await engine.produce(2_000, nbytes=1_000)
    worker = engine.start(budget=100_000, batch_s=4, max_poll_ms=3_000)
    await engine.finish()
    assert engine.notes("lost") == []
    assert worker.alive


async def test_the_end_of_a_transaction_is_committed_past(engine: Rig) -> None:
    engine.start()
    async with AIOKafkaProducer(bootstrap_servers=engine.bootstrap, transactional_id="t") as producer:
        for _ in range(3):
            async with producer.transaction():
                await producer.send_and_wait(engine.topic, b"paid", partition=0)
    await engine.until_committed(6)
    assert len(engine.effects()) == 3
