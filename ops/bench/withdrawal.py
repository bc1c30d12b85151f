"""From the log's time of a withdrawal to its deletion and to the last label committed: 20 calls in real time."""

import asyncio
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from live import SAMPLES, told
from results import Measure, progress, quantile

from services.standalone.stack import Stack, running_stack
from streams.domain.privacy import pseudonym
from streams.domain.records import CallRecord, Consent, Purpose
from streams.kafka.connection import connection
from streams.kafka.producer import KafkaSender
from streams.kafka.publish import publish
from streams.store.epochs import read_epochs

CALLS, STAGGER_S = 20, 0.73
PATIENCE_S = 60
KILL_S = {"": 0.0, "inference": 4.0, "segment": 20.0}  #: between two kills; a group takes 10 s to notice a dead member
SEED = int(os.environ.get("UNDERTONE_SEED", "1"))

#: A deferred trigger fires at the commit, so a label that is deleted a moment later is seen too.
WATCH = """
    CREATE TABLE committed (call text, at timestamptz);
    CREATE FUNCTION note_commit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO committed VALUES (NEW.call, clock_timestamp()); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER note_commit AFTER INSERT ON labels DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION note_commit();
"""
#: Seconds from the withdrawal's log time to its deletion and to the call's last label.
FOUND = """
    SELECT extract(epoch FROM audit.at - gone.at)::float8, extract(epoch FROM max(committed.at) - gone.at)::float8
    FROM audit CROSS JOIN LATERAL (SELECT (detail->>'withdrawn_at')::timestamptz AS at) gone
    LEFT JOIN committed USING (call) WHERE action = 'call.withdrawn' AND call = ANY(%s) GROUP BY audit.id, gone.at
"""
LEFT = """
    SELECT call FROM calls UNION SELECT call FROM labels
    UNION SELECT call FROM escalations UNION SELECT call FROM outbox
"""


def measure() -> list[Measure]:
    """Undisturbed, and with the inference service or the segment stage killed again and again."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> list[Measure]:
    measures = []
    async with running_stack(folder, demo_bundle=True, partitions=4) as stack:
        with psycopg.connect(stack.settings.postgres.get_secret_value(), autocommit=True) as database:
            database.execute(WATCH)
            for killed in KILL_S:
                progress(f"withdrawal: {CALLS} calls in real time" + (f", {killed} killed" if killed else ""))
                async with _killing(stack, killed):
                    names = await _withdrawn(stack)
                await _deleted(database, names)
                measures += _figures(database, names, killed)
    return measures


async def _withdrawn(stack: Stack) -> list[str]:
    chance = random.Random(SEED)  # noqa: S311 - a schedule, not a secret
    calls = [_withdrawing(SAMPLES[number % 2], chance) for number in range(CALLS)]
    await asyncio.gather(*(_play(stack, records, STAGGER_S * number) for number, records in enumerate(calls)))
    epoch = read_epochs(stack.settings.epochs)[-1]
    return [pseudonym(epoch, records[0].call_id) for records in calls]


def _withdrawing(sample: Path, chance: random.Random) -> list[CallRecord]:
    """The call, a withdrawal at a random place in it, and all the rest as if nothing had been said."""
    records = told(sample)
    place = chance.randrange(20, len(records))
    withdrawal = Consent(Purpose.ALERTING, granted=False, basis="objection", given_at=datetime.now(UTC))
    records.insert(place, replace(records[place - 1], body=withdrawal))
    return [replace(record, sequence=number) for number, record in enumerate(records)]


async def _play(stack: Stack, records: Sequence[CallRecord], after_s: float) -> None:
    await asyncio.sleep(after_s)
    async with KafkaSender(connection(stack.settings)) as sender:
        await publish(records, sender, speed=1)


async def _deleted(database: psycopg.Connection, names: Sequence[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while len(database.execute(FOUND, (list(names),)).fetchall()) < len(names):
        if time.monotonic() > deadline:
            raise RuntimeError(f"not every withdrawal was carried out within {PATIENCE_S} s")
        await asyncio.sleep(0.2)
    await asyncio.sleep(2)  # what was on its way


@asynccontextmanager
async def _killing(stack: Stack, program: str) -> AsyncIterator[None]:
    async def kill() -> None:
        while program:
            await asyncio.sleep(KILL_S[program])
            if (process := stack.supervisor.process(program)) is not None:
                process.kill()

    task = asyncio.create_task(kill())
    try:
        yield
    finally:
        task.cancel()


def _figures(database: psycopg.Connection, names: Sequence[str], killed: str) -> list[Measure]:
    found = database.execute(FOUND, (list(names),)).fetchall()
    left = {call for (call,) in database.execute(LEFT)} & set(names)
    deletions, labels = [row[0] for row in found], [row[1] for row in found if row[1] is not None]
    goal = "stated" if killed == "segment" else "2 s"
    beside = f", {killed} killed every {KILL_S[killed]:.0f} s" if killed else ""
    remarks = f"{len(names)} calls, {len(left)} with anything left, seed {SEED}; min to max beside"
    return [
        Measure(
            f"withdrawal to last label committed, worst{beside}",
            max(0.0, *labels),
            "s",
            low=min(labels),
            high=max(labels),
            goal=goal,
            remarks=f"below 0: before the withdrawal; {len(labels)} calls had labels; {remarks}",
        ),
        Measure(
            f"withdrawal to everything deleted, worst{beside}",
            max(deletions),
            "s",
            low=min(deletions),
            high=max(deletions),
            goal=goal,
            remarks=f"median {quantile(deletions, 0.5):.3f} s",
        ),
    ]
