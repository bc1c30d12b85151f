"""Records at which real workers die by a signal: each ends as a dead letter, and nothing else is lost."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.recordings import call_records, open_recording
from services.standalone.kafka import kafka as running_kafka
from services.standalone.processes import Program
from services.standalone.supervisor import Supervisor
from streams.adapters.fixed_emotion import FixedEmotion
from streams.adapters.memory_calls import MemoryCalls
from streams.adapters.memory_topics import MemoryDeadLetters, MemoryTopics
from streams.domain.deadletters import DeadLetter, Reason
from streams.domain.privacy import Epoch, window_id
from streams.domain.records import Audio, CallRecord, Consent, Notice, Purpose, Role, Started, Window
from streams.domain.schemes import EMODB
from streams.kafka.admin import apply_topics
from streams.kafka.cloudevents import decode_deadletter, decode_window, encode_call, encode_label, encode_window
from streams.kafka.connection import connection
from streams.kafka.producer import KafkaSender
from streams.kafka.publish import subscribe
from streams.metrics import Metrics
from streams.ports import Batch, Outgoing
from streams.settings import Settings
from streams.speech.activity import VoiceActivity
from streams.speech.expecting import Expecting
from streams.stages.segment import Segment
from streams.store.epochs import create_epochs, read_epochs
from streams.topics import CALLS, DEADLETTERS, WINDOWS

AT = datetime.now(UTC)
SAMPLES = Path(__file__).parents[3] / "services" / "standalone" / "samples"
NOTICE = Notice("test", "1", "en", AT - timedelta(hours=1))
GRANT = Consent(Purpose.ALERTING, granted=True, basis="consent", given_at=AT - timedelta(hours=1))
STARTED = Started("demo", (Role.AGENT, Role.CUSTOMER), "en", NOTICE, (GRANT,))
STAGES = ("segment", "label", "escalate")
NOBODY = "f" * 64
SOURCES = {"calls.v1", "windows.v1", "labels.v1"}
PATIENCE_S = 240


def told(sample: str, call_id: str) -> list[CallRecord]:
    return list(call_records(open_recording(SAMPLES / sample), call_id=call_id, started=STARTED, at=AT))


async def undisturbed(records: Sequence[CallRecord], epochs: Sequence[Epoch]) -> list[Window]:
    """The windows of these records, by a stage that nothing kills."""
    topics = MemoryTopics(now=lambda: AT)
    stage = Segment(
        epochs=epochs,
        use_cases={"demo": Expecting()},
        partitions=lambda: 1,
        store=MemoryCalls(),
        sender=topics,
        letters=MemoryDeadLetters(),
        activity=VoiceActivity(),
        metrics=Metrics(CollectorRegistry()),
        clock=lambda: AT,
    )
    kept = tuple(topics.append(encode_call(record)) for record in records)
    await stage.handle(Batch(CALLS.name, 0, kept))
    return sorted(map(decode_window, topics.read(WINDOWS.name)), key=lambda window: (window.call, window.start_ms))


def program(stage: str, deadly: str, settings: Settings, folder: Path) -> Program:
    worker = str(Path(__file__).with_name("dying.py"))
    given = {
        "UNDERTONE_KAFKA": settings.kafka,
        "UNDERTONE_POSTGRES": settings.postgres.get_secret_value(),
        "UNDERTONE_EPOCHS": str(settings.epochs),
        "UNDERTONE_LIVENESS": str(folder / f"{stage}.alive"),
        "DEADLY": deadly,
        "OMP_NUM_THREADS": "1",
    }
    argv = (sys.executable, worker, stage)
    return Program(stage, argv, log=folder / f"{stage}.log", env=given, liveness=folder / f"{stage}.alive")


async def publish(settings: Settings, records: Sequence[Outgoing]) -> None:
    async with KafkaSender(connection(settings)) as sender:
        await sender.send(records)


async def watch(supervisor: Supervisor) -> None:
    while True:
        supervisor.look()
        await asyncio.sleep(0.1)


async def dead_letters(settings: Settings) -> list[DeadLetter]:
    """The dead letters up to the first one of each topic that the three stages read."""
    letters: list[DeadLetter] = []
    async with subscribe(settings, DEADLETTERS.name, decode_deadletter, since="earliest") as found:
        async for letter in found:
            letters.append(letter)
            if {letter.topic for letter in letters} == SOURCES:
                break
    return letters


async def stored(settings: Settings, expected: set[str]) -> set[str]:
    """The labelled windows, once all that are expected are there and both calls are over."""
    found: set[str] = set()
    async with await psycopg.AsyncConnection.connect(settings.postgres.get_secret_value(), autocommit=True) as database:
        while not found >= expected:
            await asyncio.sleep(0.2)
            over = await database.execute("SELECT FROM calls WHERE ended_at IS NOT NULL")
            rows = await (await database.execute("SELECT window_id FROM labels")).fetchall()
            found = {row[0] for row in rows} if over.rowcount == 2 else set()
    return found


@pytest.fixture
def settings(migrated: str, tmp_path: Path) -> Settings:
    create_epochs(tmp_path / "epochs.json", AT - timedelta(days=1))
    return Settings(kafka="127.0.0.1:1", postgres=SecretStr(migrated), epochs=tmp_path / "epochs.json", partitions=1)


async def test_what_kills_a_worker_ends_as_a_dead_letter_and_its_neighbours_are_handled(
    settings: Settings, tmp_path: Path
) -> None:
    calm, angry = told("calm.wav", "call-a"), told("angry.wav", "call-b")
    chunks = [record for record in calm if isinstance(record.body, Audio)]
    poison = chunks[len(chunks) // 2]
    assert isinstance(poison.body, Audio)
    records = [record for pair in zip(calm, angry, strict=False) for record in pair]
    records += [*calm[len(angry) :], *angry[len(calm) :]]
    survivors = [record for record in records if record is not poison]
    windows = await undisturbed(survivors, read_epochs(settings.epochs))
    window = replace(windows[0], call=NOBODY, id=window_id(NOBODY, windows[0].role, windows[0].start_ms))
    deadly = {"segment": sha256(poison.body.data).hexdigest(), "label": window.id, "escalate": window.id}
    outgoing = [encode_window(window), encode_label(FixedEmotion({"demo": EMODB}, {}).label_one(window))]
    outgoing += [encode_call(record) for record in records]
    expected = {window.id for window in windows}
    assert len(expected) >= 4

    with ExitStack() as ending:
        settings = settings.model_copy(update={"kafka": ending.enter_context(running_kafka(tmp_path / "kafka"))})
        await apply_topics(settings)
        await publish(settings, outgoing)
        supervisor = Supervisor(lambda _: None)
        ending.callback(supervisor.stop)
        for stage in STAGES:
            supervisor.add(program(stage, deadly[stage], settings, tmp_path))
        ending.callback(asyncio.create_task(watch(supervisor)).cancel)
        async with asyncio.timeout(PATIENCE_S):
            assert await stored(settings, expected) == expected
            letters = await dead_letters(settings)
        restarts = supervisor.restarts
    assert {letter.reason for letter in letters} == {Reason.KILLED_WORKER}
    assert {letter.offset for letter in letters if letter.topic == CALLS.name} == {records.index(poison)}
    assert {letter.call for letter in letters if letter.topic != CALLS.name} == {NOBODY}
    assert all(3 <= count <= 5 for count in restarts.values()), restarts
