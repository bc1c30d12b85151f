"""Canaries go in wherever a publisher can put them; they are looked for wherever anything could come out."""

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import psutil
import psycopg
import pytest
from aiokafka import AIOKafkaProducer
from e2e.contact_centre import SAMPLES, Site
from e2e.sockets import Sockets

from streams.domain.records import Audio, CallBody, CallRecord, Consent, Ended, Notice, Purpose
from streams.kafka.cloudevents import AUDIO, CONSENT, STARTED, encode_call, partition_of
from streams.kafka.connection import connection
from streams.ports import Outgoing
from streams.speech.decode import decode
from streams.topics import CALLS, DEADLETTERS, WINDOWS

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAME, PHONE, MAIL, ID = "Erika Kanarienvogel", "+49 30 90187766", "erika@kanarienvogel.example", "KANARI-0815"
CANARIES = [part.encode() for part in ("Kanarienvogel", "kanarienvogel", "90187766", "9018 7766", "KANARI-0815")]
PATTERN = b"KANARI-0815" * 400
PYTHON = ("segment", "label", "escalate", "relay", "inference")
SERVERS = ("kafka", "postgres")  #: whose limits are their own: they are not our programs
CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")


def call_id() -> str:
    return f"{NAME} {PHONE} {ID} {uuid.uuid4()}"


def told(site: Site, reference: str | None = None) -> list[CallRecord]:
    """The angry sample under a call id that no one may ever see."""
    records = site.told(SAMPLES / "angry.wav", replace(site.started(), reference=reference))
    id_ = call_id()
    return [replace(record, call_id=id_) for record in records]


def with_header(record: Outgoing, name: str, value: bytes) -> Outgoing:
    return replace(record, headers=(*((key, old) for key, old in record.headers if key != name), (name, value)))


def broken(site: Site) -> list[Outgoing]:
    """Records that cannot be used, each with canaries in another place."""
    started = CallRecord(call_id(), 0, 0, site.started().notice.given_at, site.started())  # type: ignore[union-attr]
    good = encode_call(started)
    chunk = encode_call(replace(started, body=told(site)[1].body))
    headers = (
        "ce_type",
        "ce_source",
        "ce_id",
        "ce_sequence",
        "ce_subject",
        "ce_specversion",
        "content-type",
        "ce_time",
    )
    values = [f"{NAME} {PHONE}\x00".encode(), f"{ID} {MAIL}".encode(), PATTERN[:300], b"\xff" + PHONE.encode()]
    bodies: list[CallBody] = [
        replace(site.started(), reference=PHONE),
        replace(site.started(), reference=MAIL),
        replace(site.started(), use_case=NAME),
        replace(site.started(), language=MAIL),
        replace(site.started(), notice=Notice(PHONE, "1", "en", started.logged_at)),
        Consent(Purpose.ALERTING, granted=True, basis=MAIL, given_at=started.logged_at),
        Ended(PHONE),
    ]
    payloads = [
        f'{{"use_case": "{NAME}", "channels": "{PHONE}", "{ID}": 1}}'.encode(),
        f'{{"granted": "{NAME}", "purpose": "{PHONE}", "basis": "{MAIL}"}}'.encode(),
        NAME.encode(),
        PATTERN,
    ]
    return [
        *(with_header(each, name, value) for each in (good, chunk) for name in headers for value in values),
        with_header(good, f"ce_{ID}".lower(), NAME.encode()),
        with_header(good, f"ce_type{NAME}", NAME.encode()),
        *(encode_call(replace(started, call_id=call_id(), body=body)) for body in bodies),
        *(
            with_header(replace(good, value=payload), "ce_type", type_.encode())
            for payload in payloads
            for type_ in (STARTED, CONSENT, AUDIO)
        ),
        replace(chunk, value=PATTERN[: 320 * 3]),  # audio of no call that started
        replace(good, key=PHONE.encode() * 20),
        replace(good, key=b"\xff" + NAME.encode()),
    ]


async def send(site: Site, records: Sequence[Outgoing], *, misplaced: bool = False) -> None:
    """As a client that does as it likes."""
    count = site.stack.settings.partitions
    async with AIOKafkaProducer(**connection(site.stack.settings)) as producer:
        for record in records:
            partition = (partition_of(record.key, count) + misplaced) % count
            await producer.send_and_wait(
                record.topic, record.value, record.key, partition, headers=list(record.headers)
            )


def pids(site: Site, *names: str) -> dict[str, int]:
    found = {name: site.stack.supervisor.process(name) for name in names}
    return {name: process.pid for name, process in found.items() if process is not None}


async def replaced(site: Site, before: dict[str, int]) -> None:
    """Wait until the supervisor has started each of these anew."""

    def anew() -> list[dict[str, object]]:
        now = pids(site, *before)
        return [{}] if now.keys() == before.keys() and all(now[name] != before[name] for name in before) else []

    assert await site.eventually(anew)


def places(site: Site) -> Iterator[tuple[str, bytes]]:
    """Everything that the stack writes but `calls.v1`, which is what the publisher sent: place, content."""
    for path in sorted(site.stack.folder.rglob("*")):
        inside = path.relative_to(site.stack.folder)
        if path.is_file() and not any(part.startswith(CALLS.name) for part in inside.parts):
            yield str(inside), path.read_bytes()
    for program, address in site.stack.probes.items():
        served = address.removesuffix("/v2/health/ready").removesuffix("/ready")
        with urlopen(f"{served}/metrics", timeout=5) as reply:  # noqa: S310 - our own
            yield f"metrics of {program}", reply.read()


def cores(site: Site) -> list[Path]:
    """Files that the kernel may have left of a process: in its working directory, or where the pattern says."""
    pattern = Path(CORE_PATTERN.read_text().strip())  # "|program": a pipe, which a limit of 1 shuts too
    name = pattern.name.partition("%")[0]
    running = [psutil.Process(pid) for pid in pids(site, *PYTHON, *SERVERS).values()]
    folders = {Path(process.cwd()) for process in running} | ({pattern.parent} if pattern.is_absolute() else set())
    return [path for folder in folders for path in folder.glob(f"{name}*") if path.is_file()]


def found(site: Site, canaries: Sequence[bytes]) -> dict[str, list[bytes]]:
    """Where canaries are: there should be none."""
    seen = {place: [canary for canary in canaries if canary in content] for place, content in places(site)}
    return {place: canaries for place, canaries in seen.items() if canaries}


async def test_canaries_in_malformed_records_come_out_nowhere(site: Site) -> None:
    before = len(await site.records(DEADLETTERS.name))
    records = broken(site)
    await send(site, records)
    await send(site, records[:3], misplaced=True)
    await site.drained()
    assert len(await site.records(DEADLETTERS.name)) >= before + len(records) // 2
    assert found(site, CANARIES) == {}


async def test_canaries_in_calls_that_are_heard_come_out_nowhere_and_audio_on_windows_alone(site: Site) -> None:
    records = told(site)
    call = await site.publish(records)
    await site.settled(call)
    chunks = [record.body for record in records if isinstance(record.body, Audio)]
    loud = max(chunks, key=lambda chunk: int(np.abs(decode(chunk)[1].astype(np.int64)).sum()))
    pcm = decode(loud)[1]
    wire = [loud.data[200:280], pcm[100:140].astype(">i2").tobytes(), pcm[100:140].astype("<i2").tobytes()]
    holding = {Path(place).parent.name.rpartition("-")[0] for place in found(site, wire)}
    assert holding <= {WINDOWS.name}
    published = b"".join(path.read_bytes() for path in site.stack.folder.rglob("calls.v1-*/*.log"))
    assert all(canary in published for canary in (*CANARIES[:1], wire[0]))  # they would be found
    assert found(site, CANARIES) == {}


async def test_canaries_come_out_nowhere_when_workers_are_killed_aborted_and_asked_what_they_do(site: Site) -> None:
    call = asyncio.create_task(site.publish(told(site), speed=8))
    await asyncio.sleep(2)
    for pid in pids(site, *PYTHON).values():
        assert psutil.Process(pid).rlimit(psutil.RLIMIT_CORE) in {(0, 0), (1, 1)}  # 1: not even for a pipe
    before = pids(site, *PYTHON[:4])
    there = set(cores(site))
    for pid in before.values():
        os.kill(pid, signal.SIGUSR1)  # makes mode print every local variable
        os.kill(pid, signal.SIGUSR2)  # makes it open a debugger
    await asyncio.sleep(0.5)
    assert pids(site, *before) == before
    for number, pid in enumerate(before.values()):
        os.kill(pid, (signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT)[number])
    await replaced(site, before)
    await site.settled(await call)
    assert set(cores(site)) == there
    assert found(site, CANARIES) == {}


async def test_canaries_come_out_nowhere_when_postgresql_refuses_a_row_and_quotes_it(site: Site) -> None:
    reference = "T-ROW-" + uuid.uuid4().hex
    with refusing(site, "calls", f"reference <> '{reference}'"):
        before = pids(site, "segment")
        call = asyncio.create_task(site.publish(told(site, reference=reference), speed=20))
        await replaced(site, before)
    await call
    logs = b"".join(path.read_bytes() for path in (site.stack.folder / "logs").iterdir())
    assert b"CheckViolation 23514 calls" in logs
    assert found(site, [*CANARIES, reference.encode()]).keys() <= set(stored(site))
    await site.drained()


def stored(site: Site) -> list[str]:
    """Where an accepted reference belongs: PostgreSQL's own files (not its log) and escalations.v1."""
    return [place for place, _ in places(site) if place.startswith(("postgres/data", "kafka/data/escalations"))]


@contextmanager
def refusing(site: Site, table: str, condition: str) -> Iterator[None]:
    """PostgreSQL refuses rows for which the condition does not hold."""
    with psycopg.connect(site.stack.settings.postgres.get_secret_value(), autocommit=True) as connection:
        added = f"ALTER TABLE {table} ADD CONSTRAINT refusing CHECK ({condition}) NOT VALID"
        connection.execute(added.encode())
        try:
            yield
        finally:
            connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT refusing".encode())


async def test_nothing_speaks_to_anyone_but_this_machine(site: Site, sockets: Sockets) -> None:
    await site.settled(await site.publish(told(site)))
    environment = {**os.environ, "UNDERTONE_KAFKA": site.stack.settings.kafka, "HOME": str(site.stack.folder)}
    environment["UNDERTONE_POSTGRES"] = site.stack.settings.postgres.get_secret_value()
    for command in (["status"], ["label", str(SAMPLES / "calm.wav"), "--channels", "agent,customer"], ["doctor"]):
        ended = subprocess.run(
            [sys.executable, "-m", "services.cli", *command],
            env=environment,
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in ended.stderr
    assert ("socket.connect", "127.0.0.1") in sockets.asked()  # the eye sees
    assert {who for who, _ in sockets.seen} >= {"java"}
    assert sockets.foreign() == set()
