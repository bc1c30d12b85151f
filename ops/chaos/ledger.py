"""What was published, written down only after the broker acknowledged it: what the ledger holds must be in the log."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Self

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ops.chaos.calls import Kind, Planned, Sending
from streams.kafka.connection import connection
from streams.ports import Fetched
from streams.settings import Settings

MARK = "chaos"  #: header that numbers the sendings of a run; the stream passes over headers that it does not know
BACKOFF_S = 1.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One record that the broker has."""

    number: int
    call_id: str = field(repr=False)
    sequence: int
    kind: Kind
    reason: str | None
    sha256: str  #: of the payload
    partition: int
    offset: int


class Ledger:
    """A file of entries, one JSON object a line, and the same in memory."""

    def __init__(self, path: Path, planned: Sequence[Planned]) -> None:
        self.planned = planned
        self.entries: list[Entry] = []
        sendings = [sending for call in planned for sending in call.sendings]
        self.sendings: Mapping[int, Sending] = dict(enumerate(sendings))
        self.path = path

    def __enter__(self) -> Self:
        self._file = self.path.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, entry: Entry) -> None:
        """Put one acknowledged record on record."""
        self.entries.append(entry)
        self._file.write(msgspec.json.encode(entry) + b"\n")
        self._file.flush()

    def numbered(self) -> Iterator[list[tuple[int, Sending]]]:
        """Call by call, its sendings with their numbers."""
        left = iter(self.sendings.items())
        for call in self.planned:
            yield [next(left) for _ in call.sendings]

    def kind(self, record: Fetched) -> Sending | None:
        """The sending of this run that a record of the log comes from."""
        mark = dict(record.headers).get(MARK)
        return None if mark is None else self.sendings.get(int(mark))


class Publisher:
    """Publishes calls a lane at a time, and each record until it is acknowledged."""

    def __init__(self, settings: Settings, ledger: Ledger, *, speed: float) -> None:
        self._settings, self._ledger, self._speed = settings, ledger, speed
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def publish(self, lanes: int) -> None:
        """Publish every call of the ledger; `lanes` of them are on at a time."""
        calls = iter(list(self._ledger.numbered()))
        try:
            async with asyncio.TaskGroup() as tasks:
                for lane in range(lanes):
                    tasks.create_task(self._lane(calls, lane / lanes))
        finally:
            if self._producer is not None:
                await self._producer.stop()

    async def _lane(self, calls: Iterator[list[tuple[int, Sending]]], late_s: float) -> None:
        await asyncio.sleep(late_s)
        for call in calls:
            await self._call(call)

    async def _call(self, sendings: Iterable[tuple[int, Sending]]) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        for number, sending in sendings:
            await asyncio.sleep(began + sending.due_ms / 1000 / self._speed - clock())
            await self._send(number, sending)

    async def _send(self, number: int, sending: Sending) -> None:
        record, mark = sending.record, (MARK, str(number).encode())
        while True:
            producer = await self._connected()
            try:
                told = await producer.send_and_wait(
                    record.topic,
                    record.value,
                    key=record.key,
                    partition=sending.partition,
                    headers=[*record.headers, mark],
                )
            except KafkaError:  # it may be in the log all the same; what is sent again is a duplicate there
                await self._give_up(producer)
                await asyncio.sleep(BACKOFF_S)
            else:
                break
        digest = sha256(record.value).hexdigest()
        place = (told.partition, told.offset)
        self._ledger.write(
            Entry(number, sending.call_id, sending.sequence, sending.kind, sending.reason, digest, *place)
        )

    async def _connected(self) -> AIOKafkaProducer:
        async with self._starting:
            producer = self._producer
            while producer is None:
                producer = self._producer = await self._started()
            return producer

    async def _started(self) -> AIOKafkaProducer | None:
        producer = AIOKafkaProducer(**connection(self._settings), acks="all", enable_idempotence=True)
        try:
            await producer.start()
        except KafkaError:
            await producer.stop()
            await asyncio.sleep(BACKOFF_S)
            return None
        return producer

    async def _give_up(self, producer: AIOKafkaProducer) -> None:
        async with self._starting:
            is_ours = self._producer is producer
            if is_ours:
                self._producer = None
                await producer.stop()
