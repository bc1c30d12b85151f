"""One round of each fault: what is broken, for how long, and put right again."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random

import aiohttp
import msgspec
import psycopg

from ops.chaos.proxy import Proxy, Toxics, Way
from ops.chaos.scorer import Mode
from ops.chaos.site import SIDES, STAGES, Site, says_ok

BOTH = frozenset(Way)
SLOW = Toxics(latency_s=0.2, jitter_s=0.1, bytes_per_s=32_000)
SLOW_UPHILL = Toxics(latency_s=0.2, jitter_s=0.1, bytes_per_s=16_000, ways=frozenset({Way.UP}))
BACK_S = 60.0


@dataclass(frozen=True, slots=True)
class Fault:
    """When something was broken, seconds since 1970."""

    what: str
    began: float
    ended: float


@dataclass(slots=True)
class Breaking:
    """What faults need, and the record of them."""

    site: Site
    random: Random
    faults: list[Fault] = field(default_factory=list)
    rounds: int = 0
    drawn: bool = False  #: whether a victim was chosen already

    def victim(self, names: Sequence[str]) -> str:
        """One of these programs or stages; segment first of all, for it is the stage that keeps state."""
        stateful = [name for name in names if name.startswith("segment")]
        chosen = self.random.choice(names if self.drawn else stateful)
        self.drawn = True
        return chosen

    async def pause(self, least_s: float, most_s: float) -> None:
        """Let the stream run for a while."""
        await asyncio.sleep(self.random.uniform(least_s, most_s))

    @asynccontextmanager
    async def noted(self, what: str) -> AsyncIterator[None]:
        """Put on record that something is broken while the block runs."""
        began = time.time()
        try:
            yield
        finally:
            self.faults.append(Fault(what, began, time.time()))


Round = Callable[[Breaking], Awaitable[None]]


async def nothing(breaking: Breaking) -> None:
    """No fault: what is wrong is in the records."""
    await breaking.pause(1, 1)


async def kill_one(breaking: Breaking) -> None:
    """Kill -9 any worker, the inference service included."""
    await breaking.pause(1, 4)
    name = breaking.victim((*breaking.site.workers, "inference"))
    async with breaking.noted(f"kill -9 {name}"):
        breaking.site.signal(name, signal.SIGKILL)


async def kill_one_and_the_control(breaking: Breaking) -> None:
    """The same, and the stock agent with it."""
    await kill_one(breaking)
    for name in breaking.site.controls:
        breaking.site.signal(name, signal.SIGKILL)


async def kill_all(breaking: Breaking) -> None:
    """Kill -9 every worker at once."""
    await breaking.pause(2, 5)
    async with breaking.noted("kill -9 all"):
        for name in breaking.site.workers:
            breaking.site.signal(name, signal.SIGKILL)
    await breaking.pause(6, 10)


async def restart_next(breaking: Breaking) -> None:
    """SIGTERM one worker after the other; the next only once the last is back."""
    await restart(breaking, breaking.site.workers[breaking.rounds % len(breaking.site.workers)])


async def restart(breaking: Breaking, name: str) -> None:
    """SIGTERM the worker, and wait until it is back."""
    site = breaking.site
    before = site.process(name)
    async with breaking.noted(f"SIGTERM {name}"):
        site.signal(name, signal.SIGTERM)
        if before is not None:
            await asyncio.to_thread(before.wait, BACK_S)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as client:
        with suppress(TimeoutError):
            async with asyncio.timeout(BACK_S):
                while not await says_ok(client, site.probes[name]):
                    await asyncio.sleep(0.2)


async def crash_loop(breaking: Breaking) -> None:
    """Kill -9 both processes of a stage 0.4 s after each start: faster than anything is committed."""
    stage = breaking.victim(STAGES[:3])
    names = [name for name in breaking.site.workers if name.startswith(stage)]
    async with breaking.noted(f"{stage} killed every 0.4 s"):
        for _ in range(25):
            await asyncio.sleep(0.4)
            for name in names:
                breaking.site.signal(name, signal.SIGKILL)
    await breaking.pause(60, 60)


async def restart_broker(breaking: Breaking) -> None:
    """Stop the broker, cleanly or by kill -9; the supervisor starts it again."""
    await breaking.pause(2, 5)
    number = breaking.random.choice((signal.SIGTERM, signal.SIGKILL))
    async with breaking.noted(f"{number.name} kafka"):
        breaking.site.signal("kafka", number)
        await asyncio.sleep(1)
        await breaking.site.serving()
    await breaking.pause(8, 12)


async def freeze_broker(breaking: Breaking) -> None:
    """SIGSTOP the broker: connections stand and nothing answers. 35 s outlast every request's timeout."""
    await breaking.pause(2, 4)
    async with breaking.noted("SIGSTOP kafka"):
        breaking.site.signal("kafka", signal.SIGSTOP)
        await asyncio.sleep(breaking.random.choice((5, 12, 35)))
        breaking.site.signal("kafka", signal.SIGCONT)
    await breaking.pause(4, 6)


async def part_one_side(breaking: Breaking) -> None:
    """Cut the workers of one side off the broker for longer than their session: they live on as zombies."""
    await breaking.pause(2, 4)
    side = breaking.random.choice(SIDES)
    async with breaking.noted(f"side {side} cut off Kafka"):
        await _spoiled(breaking.site.proxied("kafka", [side]), Toxics(blackhole=BOTH), breaking.random.uniform(12, 20))
    await breaking.pause(4, 6)


async def part_postgres(breaking: Breaking) -> None:
    """Cut all workers off PostgreSQL."""
    await breaking.pause(2, 4)
    async with breaking.noted("cut off PostgreSQL"):
        await _spoiled(breaking.site.proxied("postgres"), Toxics(blackhole=BOTH), breaking.random.uniform(5, 15))
    await breaking.pause(2, 4)


async def one_way(breaking: Breaking) -> None:
    """Let bytes to the broker pass and none come back, or the other way round."""
    await breaking.pause(2, 4)
    way = breaking.random.choice(list(Way))
    async with breaking.noted(f"Kafka deaf one way, {way}"):
        toxics = Toxics(blackhole=frozenset({way}))
        await _spoiled(breaking.site.proxied("kafka"), toxics, breaking.random.uniform(6, 15))
    await breaking.pause(4, 6)


async def slow_network(breaking: Breaking) -> None:
    """200 ms of latency, give or take 100, and 256 kbit/s a connection to Kafka and PostgreSQL."""
    await breaking.pause(1, 2)
    async with breaking.noted("slow network"):
        await _spoiled([*breaking.site.proxied("kafka"), *breaking.site.proxied("postgres")], SLOW, 12)
    await breaking.pause(2, 4)


async def lose_a_machine(breaking: Breaking) -> None:
    """All of a side is gone at once, slow to send: with the workers dies what their kernels had not sent yet."""
    site = breaking.site
    for proxy in site.proxied("kafka"):
        proxy.spoil(SLOW_UPHILL)
    await breaking.pause(3, 8)
    side = breaking.random.choice(SIDES)
    async with breaking.noted(f"all of side {side} gone"):
        for name in site.workers:
            if name.endswith(f"-{side}"):
                site.signal(name, signal.SIGKILL)
        for server in ("kafka", "postgres"):
            site.proxies[f"{server}-{side}"].reset_peer()
    await breaking.pause(4, 6)


async def resets(breaking: Breaking) -> None:
    """Reset every connection of a proxy, cut them after some bytes, or pass everything in small pieces."""
    await breaking.pause(0.3, 1.5)
    proxy = breaking.random.choice(list(breaking.site.proxies.values()))
    match breaking.random.randrange(3):
        case 0:
            async with breaking.noted("reset"):
                proxy.reset_peer()
        case 1:
            async with breaking.noted("cut after some bytes"):
                await _spoiled([proxy], Toxics(limit_bytes=breaking.random.randint(500, 60_000)), 1.5)
        case _:
            async with breaking.noted("sliced"):
                await _spoiled([proxy], Toxics(slice_bytes=breaking.random.randint(64, 1024)), 1.5)


async def restart_postgres(breaking: Breaking) -> None:
    """Stop PostgreSQL by kill -9, at once, or cleanly; the supervisor starts it again, and it recovers."""
    await breaking.pause(1, 4)
    number = breaking.random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGQUIT, signal.SIGINT))
    async with breaking.noted(f"{number.name} postgres"):
        breaking.site.signal("postgres", number)
        await asyncio.sleep(0.3)
        await breaking.site.serving()
    await breaking.pause(2, 4)


async def lock_tables(breaking: Breaking) -> None:
    """Hold a lock that everything waits for, or all connections that the server has."""
    await breaking.pause(1, 3)
    url, seconds = breaking.site.settings.postgres.get_secret_value(), breaking.random.uniform(6, 14)
    if breaking.random.random() < 0.5:
        table = breaking.random.choice(("calls", "call_state", "labels", "evolutions", "escalations", "outbox"))
        async with breaking.noted(f"{table} locked"), await psycopg.AsyncConnection.connect(url) as holder:
            await holder.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
            await asyncio.sleep(seconds)
    else:
        async with breaking.noted("no connection left"):
            await _take_all_connections(breaking.site, url, seconds)
    await breaking.pause(2, 4)


async def slow_scorer(breaking: Breaking) -> None:
    """Every request takes a second and half a second a window."""
    await breaking.pause(1, 2)
    async with breaking.noted("slow inference"):
        await _mode(breaking.site, Mode(delay_s=1.0, window_s=0.5), 12)
    await breaking.pause(1, 2)


async def no_scorer(breaking: Breaking) -> None:
    """Inference fails, refuses connections, takes requests and never answers, or dies."""
    await breaking.pause(1, 2)
    what = breaking.random.choice(("500", "503", "429", "deaf", "down", "dies"))
    async with breaking.noted(f"inference: {what}"):
        if what.isdecimal():
            await _mode(breaking.site, Mode(status=int(what)), 6)
        elif what == "deaf":
            await _mode(breaking.site, Mode(deaf=True), 8)
        elif what == "down":
            await _spoiled(breaking.site.proxied("inference"), Toxics(down=True), 6)
        else:
            breaking.site.signal("inference", signal.SIGKILL)
    await breaking.pause(1, 3)


async def freeze_worker(breaking: Breaking) -> None:
    """SIGSTOP a worker for longer than its session: it wakes as a zombie, its partitions with somebody else."""
    await breaking.pause(1, 3)
    name = breaking.victim(breaking.site.workers)
    async with breaking.noted(f"SIGSTOP {name}"):
        breaking.site.signal(name, signal.SIGSTOP)
        await asyncio.sleep(breaking.random.uniform(8, 20))
        breaking.site.signal(name, signal.SIGCONT)


def any_of(*rounds: Round, at_once: int = 1) -> Round:
    """One of these, or several together."""

    async def some(breaking: Breaking) -> None:
        chosen = breaking.random.sample(rounds, breaking.random.randint(1, at_once))
        await asyncio.gather(*(each(breaking) for each in chosen))

    return some


def each_of(*rounds: Round) -> Round:
    """All of these, one after the other."""

    async def every(breaking: Breaking) -> None:
        for each in rounds:
            await each(breaking)

    return every


async def _spoiled(proxies: Sequence[Proxy], toxics: Toxics, seconds: float) -> None:
    for proxy in proxies:
        proxy.spoil(toxics)
    await asyncio.sleep(seconds)
    for proxy in proxies:
        proxy.heal()


async def _mode(site: Site, mode: Mode, seconds: float) -> None:
    async with aiohttp.ClientSession() as client:
        for each in (mode, Mode()):
            with suppress(aiohttp.ClientError):  # killed meanwhile: it comes back in its best mood
                await client.post(f"{site.settings.inference}/mode", data=msgspec.json.encode(each))
            if each is mode:
                await asyncio.sleep(seconds)


async def _take_all_connections(site: Site, url: str, seconds: float) -> None:
    held: list[psycopg.AsyncConnection] = []
    try:
        for proxy in site.proxied("postgres"):
            proxy.reset_peer()  # so that everybody needs a new one
        with suppress(psycopg.OperationalError):
            while True:
                held.append(await psycopg.AsyncConnection.connect(url))
        await asyncio.sleep(seconds)
    finally:
        for connection in held:
            await connection.close()
