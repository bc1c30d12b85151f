"""The proxy does to a connection what its toxics say, and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random

import pytest

from ops.chaos.proxy import Proxy, Toxics, Way, proxying
from services.standalone.places import free_port

SAID = bytes(range(256)) * 40
Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[Proxy, Callable[[], AbstractAsyncContextManager[Line]]]]:
    """A proxy before a server that says everything back, and a way to connect to it."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                writer.write(data)
        except OSError:
            pass
        writer.close()

    port, behind = free_port(), free_port()
    server = await asyncio.start_server(echo, "127.0.0.1", behind)
    proxy = Proxy(behind, Random(1))  # noqa: S311 - the same in every run

    @asynccontextmanager
    async def connected() -> AsyncIterator[Line]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        yield reader, writer
        writer.close()

    async with proxying(proxy, port):
        yield proxy, connected
    server.close()


async def said_back(line: Line, said: bytes = SAID) -> bytes:
    line[1].write(said)
    return await line[0].readexactly(len(said))


async def test_everything_passes_until_something_is_wrong() -> None:
    async with echoing() as (proxy, connect), connect() as line:
        assert await said_back(line) == SAID
        assert proxy.passed == 2 * len(SAID)


@pytest.mark.parametrize("toxics", [Toxics(slice_bytes=7), Toxics(latency_s=0.01, jitter_s=0.01)])
async def test_a_slow_network_loses_nothing_and_keeps_the_order(toxics: Toxics) -> None:
    async with echoing() as (proxy, connect), connect() as line:
        proxy.spoil(toxics)
        assert await said_back(line) == SAID


@pytest.mark.parametrize("way", list(Way))
async def test_what_a_partition_held_back_arrives_when_it_heals(way: Way) -> None:
    async with echoing() as (proxy, connect), connect() as line:
        proxy.spoil(Toxics(blackhole=frozenset({way})))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await said_back(line)
        proxy.heal()
        assert await line[0].readexactly(len(SAID)) == SAID


async def test_a_reset_is_seen_as_one() -> None:
    async with echoing() as (proxy, connect), connect() as line:
        await said_back(line)
        proxy.reset_peer()
        with pytest.raises(ConnectionResetError):
            await line[0].readexactly(1)


async def test_a_connection_is_cut_after_its_limit() -> None:
    async with echoing() as (proxy, connect), connect() as line:
        proxy.spoil(Toxics(limit_bytes=100))
        with pytest.raises(ConnectionResetError):
            await said_back(line)


async def test_while_it_is_down_connections_are_reset_and_afterwards_not() -> None:
    async with echoing() as (proxy, connect):
        proxy.spoil(Toxics(down=True))
        async with connect() as line:
            with pytest.raises(ConnectionResetError):
                await line[0].readexactly(1)
        proxy.heal()
        async with connect() as line:
            assert await said_back(line) == SAID
