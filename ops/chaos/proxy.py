"""A TCP proxy that misbehaves on demand, in Toxiproxy's vocabulary; one loop, no threads."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

BLOCK = 64 * 1024
PIECE_S = 0.1  #: a slow connection passes on this much of its time's bytes at once
AHEAD = 16  #: blocks of one direction that may be on their way through the proxy
_RESET = struct.pack("ii", 1, 0)  #: SO_LINGER of 0 s: close() sends RST


class Way(StrEnum):
    """A direction of a connection, seen from the client."""

    UP = "up"
    DOWN = "down"


@dataclass(slots=True)
class Toxics:
    """What is done to every connection, new and old, while it stands."""

    latency_s: float = 0.0
    jitter_s: float = 0.0  #: either side of the latency, uniform
    bytes_per_s: float = 0.0  #: of each connection and direction; 0: no limit
    slice_bytes: int = 0  #: what is passed on comes in pieces of this size; 0: as it came
    limit_bytes: int = 0  #: a direction that passed on this much of a connection resets it; 0: no limit
    ways: frozenset[Way] = frozenset(Way)  #: directions that all of the above is done to
    blackhole: frozenset[Way] = frozenset()  #: nothing passes; what was held arrives once the partition heals
    down: bool = False  #: new connections are reset


@dataclass(eq=False, slots=True)
class _Line:
    """One connection through the proxy: two sockets."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter

    def reset(self) -> None:
        """Both ends see a reset, and what was on its way is lost."""
        for writer in (self.client, self.server):
            _reset(writer)


@dataclass(slots=True)
class Proxy:
    """Passes connections on to `port`, and spoils them as `toxics` say."""

    port: int
    random: Random
    toxics: Toxics = field(default_factory=Toxics)
    passed: int = 0  #: bytes, both directions
    resets: int = 0
    _lines: set[_Line] = field(default_factory=set)
    _carrying: set[asyncio.Task[None]] = field(default_factory=set)
    _healed: asyncio.Event = field(default_factory=asyncio.Event)

    def spoil(self, toxics: Toxics) -> None:
        """From now on, until `heal`."""
        self.toxics = toxics
        self._healed.clear()
        if toxics.down:
            self.reset_peer()

    def heal(self) -> None:
        """Pass everything on again, what a partition held back first."""
        self.toxics = Toxics()
        self._healed.set()

    def reset_peer(self) -> None:
        """Reset every open connection."""
        self.resets += len(self._lines)
        for line in list(self._lines):
            line.reset()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until either end closes."""
        task = asyncio.create_task(self._carry(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def stop(self) -> None:
        """Reset what is open."""
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.toxics.down:
                raise ConnectionRefusedError
            there, back = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            _reset(writer)
            return
        line = _Line(writer, back)
        self._lines.add(line)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(Way.UP, reader, back, line))
                tasks.create_task(self._pump(Way.DOWN, there, writer, line))
        except* OSError:
            line.reset()
        finally:
            self._lines.discard(line)
            for each in (writer, back):
                each.close()

    async def _pump(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: _Line) -> None:
        """Read ahead of what is written, so that latency delays and does not throttle."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(AHEAD)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take(way, reader, waiting))
            tasks.create_task(self._give(way, waiting, writer, line))

    async def _take(self, way: Way, reader: asyncio.StreamReader, waiting: asyncio.Queue[tuple[float, bytes]]) -> None:
        clock = asyncio.get_running_loop().time
        while data := await reader.read(BLOCK):
            toxics = self._of(way)
            spread = self.random.uniform(-1, 1) * toxics.jitter_s
            await waiting.put((clock() + max(0.0, toxics.latency_s + spread), data))
        await waiting.put((0.0, b""))

    async def _give(
        self, way: Way, waiting: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, line: _Line
    ) -> None:
        clock, given = asyncio.get_running_loop().time, 0
        while True:
            due, data = await waiting.get()
            if not data:
                writer.write_eof()
                return
            await asyncio.sleep(max(0.0, due - clock()))
            toxics = self._of(way)
            for piece in _slices(data, toxics.slice_bytes or int(toxics.bytes_per_s * PIECE_S)):
                while way in self.toxics.blackhole:
                    await self._healed.wait()
                given += len(piece)
                await self._write(piece, writer, self._of(way).bytes_per_s)
            if 0 < self._of(way).limit_bytes <= given:
                self.resets += 1
                line.reset()

    def _of(self, way: Way) -> Toxics:
        return self.toxics if way in self.toxics.ways else Toxics()

    async def _write(self, piece: bytes, writer: asyncio.StreamWriter, bytes_per_s: float) -> None:
        writer.write(piece)
        await writer.drain()
        self.passed += len(piece)
        if bytes_per_s:
            await asyncio.sleep(len(piece) / bytes_per_s)


@asynccontextmanager
async def proxying(proxy: Proxy, listen: int) -> AsyncIterator[Proxy]:
    """The proxy, reached on port `listen` of loopback while the block runs."""
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", listen)
    try:
        yield proxy
    finally:
        server.close()
        await proxy.stop()


def _slices(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)] if size else [data]


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
