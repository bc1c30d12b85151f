"""A withdrawal or an erasure at any instant, with whatever down: of the call, tombstone and audit row are left."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import psycopg
import pytest
from aiokafka import AIOKafkaProducer
from e2e.contact_centre import SAMPLES, Site

from services.cli import run
from streams.domain.records import CallBody, CallRecord, Consent, Purpose
from streams.kafka.cloudevents import decode_escalation, encode_call, partition_of
from streams.kafka.connection import connection
from streams.topics import CALLS, ESCALATIONS, LABELS, WINDOWS

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOMBSTONE = "SELECT closed FROM call_state WHERE call = %s AND closed IN ('withdrawn', 'erased')"


def consent(*, granted: bool) -> Consent:
    return Consent(Purpose.ALERTING, granted=granted, basis="consent", given_at=datetime.now(UTC))


def with_bodies(records: Sequence[CallRecord], bodies: Mapping[int, CallBody]) -> list[CallRecord]:
    """The call with more records put in before these places, numbered anew."""
    told = [
        each
        for place, record in enumerate(records)
        for each in ([replace(record, body=bodies[place]), record] if place in bodies else [record])
    ]
    return [replace(record, sequence=number) for number, record in enumerate(told)]


async def check_gone(site: Site, call: str) -> None:
    """Once everything has been worked off, nothing is left, and what was sent was taken back."""
    await site.until(TOMBSTONE, call)
    await site.drained()
    assert site.holding(call) == {"call_state", "audit"}
    (tomb,) = site.rows("SELECT state, closed FROM call_state WHERE call = %s", call)
    assert tomb["state"] == b""
    sent = [decode_escalation(record) for record in await site.records(ESCALATIONS.name)]
    last = {escalation.id: escalation for escalation in sent if escalation.call == call}
    assert all(escalation.retracted for escalation in last.values())


@pytest.mark.parametrize("seed", range(4))
async def test_a_withdrawal_at_a_random_instant_leaves_nothing_and_a_later_grant_opens_nothing(
    site: Site, seed: int
) -> None:
    records = site.told(SAMPLES / "angry.wav")
    at = Random(seed).randrange(1, len(records) - 20)  # noqa: S311 - a place, not a secret
    told = with_bodies(records, {at: consent(granted=False), at + 10: consent(granted=True)})
    await check_gone(site, await site.publish(told, speed=20))


async def test_a_window_that_waits_for_inference_through_a_withdrawal_is_never_scored(site: Site) -> None:
    supervisor = site.stack.supervisor
    program = supervisor._kept["inference"].program
    supervisor.stop(("inference",))
    records = site.told(SAMPLES / "angry.wav")
    call = await site.publish(records)
    while not await keyed(site, WINDOWS.name, call):
        await asyncio.sleep(0.2)
    refused = site.counted("label", "undertone_not_open_total")
    last = records[-1]
    await site.publish([replace(last, sequence=last.sequence + 1, body=consent(granted=False))])
    await site.until(TOMBSTONE, call)
    assert await site.eventually(
        lambda: [{}] if site.counted("label", "undertone_not_open_total") > refused else []
    )  # before the service is back
    supervisor.add(program)
    await check_gone(site, call)
    assert await keyed(site, LABELS.name, call) == 0


async def keyed(site: Site, topic: str, call: str) -> int:
    return sum(record.key == call.encode() for record in await site.records(topic))


async def test_a_withdrawal_while_postgresql_restarts_leaves_nothing(site: Site) -> None:
    records = site.told(SAMPLES / "angry.wav")
    call = await site.publish(records[:-1])
    await site.until("SELECT FROM labels WHERE call = %s", call)
    server = site.stack.supervisor.process("postgres")
    assert server is not None
    server.kill()
    await site.publish([replace(records[-1], body=consent(granted=False))])
    while True:
        try:
            await site.until(TOMBSTONE, call)
            break
        except psycopg.OperationalError:
            await asyncio.sleep(0.2)
    await check_gone(site, call)


async def test_a_withdrawal_on_a_wrong_partition_deletes_a_call_that_is_going_on(site: Site) -> None:
    records = site.told(SAMPLES / "angry.wav")
    half = len(records) // 2
    call = await site.publish(records[:half])
    await site.until("SELECT FROM labels WHERE call = %s", call)
    withdrawal = encode_call(replace(records[half], body=consent(granted=False)))
    count = site.stack.settings.partitions
    elsewhere = (partition_of(withdrawal.key, count) + 1) % count
    async with AIOKafkaProducer(**connection(site.stack.settings)) as producer:
        await producer.send_and_wait(
            CALLS.name, withdrawal.value, withdrawal.key, elsewhere, headers=list(withdrawal.headers)
        )
    await site.until(TOMBSTONE, call)
    await site.publish(records[half:], speed=20)
    await check_gone(site, call)
    assert site.counted("segment", "undertone_open_calls") == 0


async def test_an_erased_call_that_is_going_on_is_heard_no_more_and_does_not_come_back(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    settings = site.stack.settings
    for name, value in {
        "FOLDER": str(tmp_path),  # where `audit verify` keeps the head
        "KAFKA": settings.kafka,
        "POSTGRES": settings.postgres.get_secret_value(),
        "EPOCHS": str(settings.epochs),
    }.items():
        monkeypatch.setenv(f"UNDERTONE_{name}", value)
    records = site.told(SAMPLES / "angry.wav")
    half = len(records) // 2
    call = await site.publish(records[:half])
    await site.until("SELECT FROM labels WHERE call = %s", call)
    assert await asyncio.to_thread(run, ["erase", "--json", records[0].call_id]) == 0
    assert '"erased": true' in capsys.readouterr().out
    await site.publish(records[half:], speed=20)
    await site.until(TOMBSTONE, call)
    await site.drained()
    assert site.holding(call) == {"call_state", "audit", "erasures"}
    assert site.counted("segment", "undertone_open_calls") == 0
    assert await asyncio.to_thread(run, ["audit", "verify"]) == 0
