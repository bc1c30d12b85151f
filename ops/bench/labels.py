"""Labels committed a second: the escalate stage's batches against a transaction a label, and against plain inserts."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import msgspec
from results import Measure, compared, progress
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.standalone.postgres import create_database, postgres
from streams import usecases
from streams.domain.privacy import window_id
from streams.domain.records import Consent, Label, Notice, Outcome, Purpose, Role
from streams.domain.rules import likeliest
from streams.ports import Call, Checkpoint
from streams.store import tables
from streams.store.calls import PostgresCalls
from streams.store.database import Database
from streams.store.migrate import migrate
from streams.store.outcomes import Outcomes

CALLS, DEPTH, ROUNDS = 100, 10, 3
AT = datetime(2026, 1, 1, tzinfo=UTC)
GRANT = Consent(Purpose.ALERTING, granted=True, basis="consent", given_at=AT)
HEADS = {
    "category.full": {"anger": 0.6, "happiness": 0.1, "neutral": 0.2, "sadness": 0.1},
    "category.binary": {"not_neutral": 0.7, "neutral": 0.3},
    "valence.full": {"negative": 0.4, "neutral": 0.35, "positive": 0.25},
    "valence.binary": {"negative": 0.6, "not_negative": 0.4},
    "arousal.full": {"excited": 0.3, "neutral": 0.7},
}
CLASSES = {head: likeliest(shares) for head, shares in HEADS.items()}


def measure() -> list[Measure]:
    """On a PostgreSQL of its own that keeps what it commits (fsync on)."""
    with tempfile.TemporaryDirectory() as folder, postgres(Path(folder)) as server:
        address = create_database(server, "bench")
        migrate(address)
        return asyncio.run(_measure(address))


async def _measure(address: str) -> list[Measure]:
    database = Database(address, application="bench")
    installed = usecases.load()
    rules = {name: use_case.rules for name, use_case in installed.items()}
    schemes = {name: use_case.scheme for name, use_case in installed.items()}
    outcomes = Outcomes(database, rules, schemes, lambda: datetime.now(UTC))
    found: list[tuple[float, float, float]] = []
    for number in range(ROUNDS):
        batched = await _recorded(outcomes, await _waves(database), CALLS)
        single = await _recorded(outcomes, await _waves(database), 1)
        plain = await _inserted(database, await _waves(database))
        found.append((batched, single, plain))
        progress(f"labels {number + 1}/{ROUNDS}: {batched:,.0f} a second, {single:,.0f} one by one, {plain:,.0f} plain")
    await database.close()
    work = f"consent, rows, rules over {DEPTH} windows a call, audit and outbox in both; batches of {CALLS}"
    return [
        compared("labels, against a transaction each", "labels/s", [f[:2] for f in found], goal="10", remarks=work),
        compared(
            "labels, against Core inserts",
            "labels/s",
            [(batched, plain) for batched, _, plain in found],
            goal="stated",
            remarks="the baseline inserts rows one by one in a transaction per batch and does nothing else",
        ),
    ]


async def _waves(database: Database) -> list[list[Label]]:
    """Labels of new open calls: each wave has one of every call."""
    calls = [uuid4().hex * 2 for _ in range(CALLS)]
    await PostgresCalls(database).save([_open(call) for call in calls])
    return [[_label(call, number) for call in calls] for number in range(DEPTH)]


def _open(call: str) -> Checkpoint:
    known = Call(
        call=call,
        epoch="bench",
        use_case="demo",
        language="en",
        channels=(Role.AGENT, Role.CUSTOMER),
        started_at=AT,
        notice=Notice("bench", "1", "en", AT),
        consents={Purpose.ALERTING: GRANT},
        consent_seq=0,
    )
    return Checkpoint(known, 0, 1, b"state")


def _label(call: str, number: int) -> Label:
    start_ms = number * 6_000
    return Label(
        window_id=window_id(call, Role.CUSTOMER, start_ms),
        call=call,
        use_case="demo",
        role=Role.CUSTOMER,
        start_ms=start_ms,
        end_ms=start_ms + 5_000,
        consent_seq=0,
        spoken_at=AT + timedelta(milliseconds=start_ms + 5_000),
        outcome=Outcome.LABELLED,
        bundle="00" * 32,
        heads=HEADS,
        classes=CLASSES,
    )


async def _recorded(outcomes: Outcomes, waves: Sequence[Sequence[Label]], size: int) -> float:
    """Labels a second in batches of `size`."""
    began = time.perf_counter()
    for wave in waves:
        for start in range(0, len(wave), size):
            recorded = await outcomes.record(wave[start : start + size])
            if len(recorded.written) != size:
                raise RuntimeError("a label was not written")
    return CALLS * DEPTH / (time.perf_counter() - began)


async def _inserted(database: Database, waves: Sequence[Sequence[Label]]) -> float:
    """Labels a second by SQLAlchemy Core, a statement a row and a transaction a wave."""
    began = time.perf_counter()
    for wave in waves:
        rows = [msgspec.to_builtins(label) | {"spoken_at": label.spoken_at} for label in wave]

        async def work(connection: AsyncConnection, rows: Sequence[dict[str, object]] = rows) -> None:
            for row in rows:
                await connection.execute(insert(tables.labels), row)

        await database.transaction(work)
    return CALLS * DEPTH / (time.perf_counter() - began)
