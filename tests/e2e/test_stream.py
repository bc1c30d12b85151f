"""A call goes in, an escalation comes out: the whole stream on real parts."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from e2e.contact_centre import ESCALATED, LABELS, SAMPLES, Site, assert_same

from streams.domain.records import Audio, CallRecord, Consent, Purpose
from streams.kafka.cloudevents import decode_escalation
from streams.kafka.publish import subscribe
from streams.topics import ESCALATIONS

pytestmark = pytest.mark.asyncio(loop_scope="session")

HEADS = {"category.full", "category.binary", "valence.full", "valence.binary", "arousal.full"}
WATCHED = """
    CREATE TABLE wrote (application text);
    CREATE FUNCTION note_writer() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO wrote VALUES (current_setting('application_name')); RETURN NULL; END $$;
    CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON calls FOR EACH ROW EXECUTE FUNCTION note_writer();
"""
UNWATCHED = "DROP TRIGGER noted ON calls; DROP FUNCTION note_writer; DROP TABLE wrote"


def published_ms(records: list[CallRecord]) -> int:
    return sum(record.body.duration_ms for record in records if isinstance(record.body, Audio))


async def check_scored(site: Site, recording: Path) -> list[dict[str, object]]:
    """Publish a recording and hold its rows against every promise that is made for a call; its label rows."""
    records = site.told(recording)
    call = await site.publish(records)
    row = await site.settled(call)
    labels = site.rows(LABELS, call)
    assert labels
    for label in labels:
        assert label["role"] == "customer"
        assert 2_500 <= label["end_ms"] - label["start_ms"] < 20_000  # type: ignore[operator]
        if label["outcome"] == "labelled":
            assert set(label["heads"]) == HEADS  # type: ignore[call-overload]
        else:
            assert label["reason"]
    fates = dict(row["fates"])  # type: ignore[call-overload]
    assert {channel: sum(ms.values()) for channel, ms in fates.items()} == {
        "0 agent": published_ms(records),
        "1 customer": published_ms(records),
    }
    assert "window" not in fates["0 agent"]
    return labels


async def test_the_angry_sample_escalates(site: Site) -> None:
    async with subscribe(site.stack.settings, ESCALATIONS.name, decode_escalation) as escalations:
        call = await site.publish(site.told(SAMPLES / "angry.wav"))
        async with asyncio.timeout(60):
            escalation = await anext(escalations)
    assert escalation.call == call
    assert escalation.consent.basis == "consent"
    assert escalation.consent.notice is not None
    assert [row["id"] for row in site.rows("SELECT id FROM escalations WHERE call = %s", call)] == [escalation.id]


async def test_the_calm_sample_does_not_escalate(site: Site) -> None:
    call = await site.publish(site.told(SAMPLES / "calm.wav"))
    await site.settled(call)
    assert site.rows(ESCALATED, call) == []


@pytest.mark.parametrize("name", ["calm.wav", "angry.wav"])
async def test_every_window_of_a_sample_is_labelled_and_every_millisecond_has_a_fate(site: Site, name: str) -> None:
    await check_scored(site, SAMPLES / name)


@pytest.mark.needs("recordings")
async def test_every_window_of_a_real_call_is_labelled_and_none_of_the_agents(site: Site, recordings: Path) -> None:
    await check_scored(site, recordings / "calls8k" / "aws_auto_repairs_40_2ch.wav")


async def test_without_consent_a_call_is_counted_and_nothing_of_it_is_scored(site: Site) -> None:
    records = site.told(SAMPLES / "angry.wav", site.started(consents=False))
    call = await site.publish(records)
    (row,) = await site.until("SELECT fates FROM calls WHERE call = %s AND ended_at IS NOT NULL", call)
    assert row["fates"]["1 customer"] == {"no_consent": published_ms(records)}  # type: ignore[call-overload, index]
    assert site.rows(LABELS, call) == []


async def test_a_withdrawal_leaves_nothing_but_tombstone_and_audit_row_and_takes_back_what_was_sent(site: Site) -> None:
    records = site.told(SAMPLES / "angry.wav")
    withdrawal = Consent(Purpose.ALERTING, granted=False, basis="objection", given_at=datetime.now(UTC))
    last = records[-1]
    async with subscribe(site.stack.settings, ESCALATIONS.name, decode_escalation) as escalations:
        call = await site.publish(records[:-1])
        async with asyncio.timeout(60):
            sent = await anext(escalations)
            await site.publish([replace(last, body=withdrawal)])
            taken_back = await anext(escalations)
    assert (taken_back.id, taken_back.retracted) == (sent.id, True)
    for table in ("calls", "labels", "evolutions", "escalations"):
        assert site.rows(f"SELECT call FROM {table} WHERE call = %s", call) == []  # noqa: S608 - a closed list
    assert site.rows("SELECT action FROM audit WHERE call = %s AND action = 'call.withdrawn'", call)


async def test_the_segment_stage_alone_writes_calls(site: Site) -> None:
    site.execute(WATCHED)
    try:
        await site.settled(await site.publish(site.told(SAMPLES / "angry.wav")))
        records = site.told(SAMPLES / "calm.wav")
        regret = Consent(Purpose.ALERTING, granted=False, basis="objection", given_at=datetime.now(UTC))
        call = await site.publish([*records[:-1], replace(records[-1], body=regret)])
        await site.until("SELECT 1 FROM audit WHERE call = %s AND action = 'call.withdrawn'", call)
        assert site.rows("SELECT DISTINCT application FROM wrote") == [{"application": "undertone segment"}]
    finally:
        site.execute(UNWATCHED)


async def test_the_raw_call_id_stays_on_the_first_topic(site: Site) -> None:
    records = site.told(SAMPLES / "angry.wav")
    call = await site.publish(records)
    await site.settled(call)
    raw = records[0].call_id
    holding = {log.parent.name for log in site.stack.folder.rglob("*.log") if raw.encode() in log.read_bytes()}
    assert {folder.rpartition("-")[0] for folder in holding} == {"calls.v1"}
    for table in ("calls", "call_state", "labels", "evolutions", "escalations", "outbox", "audit"):
        assert raw not in json.dumps(site.rows(f"SELECT * FROM {table}"), default=str)  # noqa: S608 - a closed list


@pytest.mark.parametrize("worker", ["segment", "label", "escalate", "relay", "inference"])
async def test_a_worker_killed_in_the_middle_of_a_call_changes_nothing(site: Site, worker: str) -> None:
    calm = await site.publish(site.told(SAMPLES / "angry.wav"))
    fates = (await site.settled(calm))["fates"]
    restarts = site.stack.restarts[worker]
    publishing = asyncio.create_task(site.publish(site.told(SAMPLES / "angry.wav"), speed=10))
    await asyncio.sleep(2.5)
    process = site.stack.supervisor.process(worker)
    assert process is not None
    process.kill()
    rough = await publishing
    assert (await site.settled(rough))["fates"] == fates
    assert_same(site.rows(LABELS, rough), site.rows(LABELS, calm))
    assert_same(site.rows(ESCALATED, rough), site.rows(ESCALATED, calm))
    assert site.rows("SELECT FROM escalations WHERE call = %s", rough)
    await site.eventually(lambda: [{}] if site.stack.restarts[worker] > restarts else [])
    assert site.stack.restarts[worker] == restarts + 1
