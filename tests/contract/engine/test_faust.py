"""Why the feed is as it is: what Faust does with a real broker where it is used as its guide has it.

A test of this file that starts failing means that Faust has mended something: look whether the answer that its
docstring names can go (`ops/docs/faust-on-kafka.md`).
"""

import asyncio
import inspect
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import faust
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import CommitFailedError, KafkaError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

from ops.chaos.control import state_of
from services.standalone.processes import Program, kill, last_lines, start
from streams.kafka.positions import Positions

WORKER = Path(__file__).with_name("stock.py")
PATIENCE_S = 40
STILL_S = 6.0  #: what has not happened within so long of a commit interval of 0.5 s does not happen


@dataclass(slots=True)
class Stock:
    """One topic of one partition, and a stock worker on it."""

    bootstrap: str
    folder: Path
    topic: str = field(default_factory=lambda: f"stock-{uuid4().hex}")
    program: Program | None = None
    process: subprocess.Popen[bytes] | None = None

    async def create(self, name: str, **config: str) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        settings = {key.replace("_", "."): value for key, value in config.items()}
        await admin.create_topics([NewTopic(name, 1, 1, topic_configs=settings)])
        await admin.close()

    async def produce(self, *values: object, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap) as producer:
            for value in values:
                await producer.send_and_wait(self.topic, str(value).encode(), headers=list(headers))

    def start(self, behaviour: str) -> None:
        argv = (sys.executable, str(WORKER), behaviour, self.bootstrap, self.topic, str(self.folder / "sink.txt"))
        self.program = Program(behaviour, argv, log=self.folder / "worker.log")
        self.process = start(self.program)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def effects(self) -> list[str]:
        sink = self.folder / "sink.txt"
        return sink.read_text().splitlines() if sink.exists() else []

    async def until(self, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert self.program is not None
            assert time.monotonic() < deadline, "\n".join([*self.effects(), *last_lines(self.program.log, 30)])
            await asyncio.sleep(0.1)

    async def until_joined(self) -> None:
        """Until it has its partition: a worker that is still starting does nothing either."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while await self._state(admin) != "Stable":
                    await asyncio.sleep(0.1)
        finally:
            await admin.close()

    async def _state(self, admin: AIOKafkaAdminClient) -> str:
        with suppress(KafkaError):  # a new broker has no coordinator for a moment
            return await state_of(admin, self.topic)
        return ""

    async def end_of(self, topic: str) -> int:
        async with Positions({"bootstrap_servers": self.bootstrap}) as positions:
            return (await positions.read("nobody", topic))[0].end

    async def until_committed(self, offset: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        async with Positions({"bootstrap_servers": self.bootstrap}) as positions:
            committed = 0
            while committed < offset:
                assert time.monotonic() < deadline, f"{offset} is not committed"
                await asyncio.sleep(0.1)
                with suppress(KafkaError):  # a new broker has no coordinator for a moment
                    committed = (await positions.read(self.topic, self.topic))[0].committed

    async def hangs_on_sigterm(self) -> bool:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(STILL_S)
        return self.alive


@asynccontextmanager
async def stocked(kafka: str, folder: Path) -> AsyncIterator[Stock]:
    folder.mkdir(exist_ok=True)
    made = Stock(kafka, folder)
    await made.create(made.topic)
    try:
        yield made
    finally:
        if made.process is not None:
            kill(made.process)


@pytest.fixture
async def stock(kafka: str, tmp_path: Path) -> AsyncIterator[Stock]:
    async with stocked(kafka, tmp_path) as made:
        yield made


async def test_a_record_whose_agent_raised_is_committed_and_lost(stock: Stock) -> None:
    """Answer: `feed.fail_stop`, and that the feed commits only what a handler declared."""
    await stock.produce(*range(8))
    stock.start("raises")
    await stock.until_committed(8)
    assert "3" not in stock.effects()


async def test_a_record_that_faust_cannot_decode_silences_an_agent_that_takes(stock: Stock) -> None:
    """Answer: raw bytes, decoded by the stage; no `take`."""
    await stock.produce(0, 1, 2)
    stock.start("takes")
    await stock.until(lambda: len(stock.effects()) == 3)
    await stock.produce("{no json", *range(3, 11))
    await asyncio.sleep(STILL_S)
    assert stock.effects() == ["0", "1", "2"]
    assert stock.alive


async def test_a_commit_passes_a_record_in_flight(stock: Stock) -> None:
    """Answer: one handler at a time, and the feed commits only what a handler declared."""
    await stock.produce(*range(8))
    stock.start("overtakes")
    await stock.until_committed(8)
    assert sorted(stock.effects()) == [str(number) for number in range(1, 8)]


async def test_what_the_broker_refused_is_lost_although_its_source_is_committed(stock: Stock) -> None:
    """Answer: `KafkaSender.send` returns when the broker has acknowledged, and raises where it refused."""
    await stock.create(f"{stock.topic}.out", max_message_bytes="100")  # so the broker refuses what is sent on
    await stock.produce(*["x" * 1000] * 4)
    stock.start("sends")
    await stock.until_committed(4)
    assert await stock.end_of(f"{stock.topic}.out") == 0


async def test_a_publisher_chooses_where_an_agent_that_yields_writes_to(stock: Stock) -> None:
    """Answer: no agent yields; the feed's agent reads a channel."""
    await stock.create(f"{stock.topic}.out")
    header = ("Faust-Ag-ReplyTo", f"{stock.topic}.out".encode())
    await stock.produce(0, headers=(header, ("Faust-Ag-CorrelationId", b"1")))
    stock.start("replies")
    await stock.until_committed(1)
    deadline = time.monotonic() + PATIENCE_S
    while not await stock.end_of(f"{stock.topic}.out"):
        assert time.monotonic() < deadline, "no reply"
        await asyncio.sleep(0.2)


async def test_sigterm_waits_for_a_handler_without_end(stock: Stock) -> None:
    """Answer: the feed waits for the running handler only, and a supervisor kills what does not end."""
    await stock.produce(0)
    stock.start("holds")
    await stock.until(stock.effects)
    assert await stock.hangs_on_sigterm()


async def test_sigterm_waits_for_a_batch_to_be_full(stock: Stock) -> None:
    """Answer: a batch is what was fetched; no `take`."""
    await stock.produce(*range(8))
    stock.start("half_takes")
    await stock.until_joined()
    await asyncio.sleep(STILL_S)
    assert await stock.hangs_on_sigterm()
    assert stock.effects() == []


async def test_exactly_once_sends_outside_the_transaction(stock: Stock) -> None:
    """Answer: at least once up to PostgreSQL, derived ids, first writer wins; no `exactly_once`."""
    await stock.create(f"{stock.topic}.out")
    await stock.produce(*range(4))
    stock.start("transacts")
    await stock.until(stock.effects)
    assert set(stock.effects()) == {"transactional_id=None"}


async def test_one_slow_answer_of_the_broker_stalls_a_worker_in_silence(stock: Stock, tmp_path: Path) -> None:
    """Answer: a consumer of our own, and liveness by committed progress."""
    async with stocked(stock.bootstrap, tmp_path / "control") as control:
        for each, behaviour in ((stock, "stalls"), (control, "answers")):
            await each.produce(*range(8))
            each.start(behaviour)
        await stock.until_joined()
        await asyncio.sleep(7 + STILL_S)  # 7 s of them the slow answer
        await control.until(lambda: len(control.effects()) == 7)
        assert stock.alive
        assert stock.effects() == []


def test_a_refused_commit_crashes_the_worker() -> None:
    """Answer: `Feed._commit` takes CommitFailedError as 'will be replayed'."""
    source = inspect.getsource(AIOKafkaConsumerThread._commit)
    assert '"already rebalanced" in str(exc)' in source
    assert "already rebalanced" not in str(CommitFailedError())


def test_the_defaults_are_not_ours(tmp_path: Path) -> None:
    """Answer: the settings of `streams.app` and of the feed's consumer."""
    settings = faust.App("stock", datadir=tmp_path).conf
    assert settings.broker_session_timeout == 60
    assert settings.broker_max_poll_interval == 1000
    assert settings.producer_request_timeout == 1200
    assert settings.web_bind == "0.0.0.0"  # noqa: S104 - that is the finding
    assert settings.web_enabled
    assert settings.stream_wait_empty
    assert settings.table_standby_replicas == 1
    assert not settings.topic_disable_leader
    assert settings.topic_allow_declare
