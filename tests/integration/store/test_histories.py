"""The same histories against a real server: at no moment is there a row that consent does not allow."""

import asyncio
import itertools

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from psycopg import sql
from unit.stages.bench import EPOCH
from unit.stages.histories import (
    HISTORIES,
    RULES,
    SCHEDULES,
    SCHEMES,
    History,
    Say,
    Schedule,
    Speak,
    Start,
    Stream,
    decoded,
    tell,
    work_off,
)

from streams.domain.records import CallRecord, Ended
from streams.kafka.cloudevents import encode_call
from streams.ports import Batch
from streams.store.calls import PostgresCalls
from streams.store.database import Database
from streams.store.erasure import erase
from streams.store.outcomes import Outcomes

_NUMBER = itertools.count()
_OUTSIDE = """
    SELECT window_id FROM labels LEFT JOIN calls USING (call)
    WHERE labels.consent_seq IS DISTINCT FROM calls.consent_seq OR labels.role <> 'customer'
    OR (labels.spoken_at >= calls.consent_expires_at AND window_id <> ALL (%s))
"""


class Run:
    """A history through the stream over PostgreSQL, looked at from outside after every turn."""

    def __init__(self, url: str, history: History, schedule: Schedule) -> None:
        self.told, self.written = tell(history, f"call-{next(_NUMBER)}"), set[str]()
        asyncio.run(self._run(url, schedule))

    async def _run(self, url: str, schedule: Schedule) -> None:
        database = Database(url, application="test")
        with psycopg.connect(url, autocommit=True) as self.eye, decoded() as self.chunks:
            self.stream = Stream(
                self.told, PostgresCalls(database), lambda clock: Outcomes(database, RULES, SCHEMES, clock), self.chunks
            )
            await work_off(self.stream, schedule, self.check)
            self.found = self.holding()
        await database.close()

    def check(self, handled: int) -> None:
        assert {self.told.audio[data] for data in self.chunks} <= self.told.allowed
        assert self.eye.execute(_OUTSIDE.encode(), (list(self.written),)).fetchall() == []
        self.written |= {id_ for (id_,) in self.eye.execute("SELECT window_id FROM labels")}
        if self.told.withdrawn is not None and handled > self.told.withdrawn:
            assert self.holding() <= {"call_state", "audit"}
            (tomb,) = self.eye.execute("SELECT state, closed FROM call_state WHERE call = %s", (self.stream.call,))
            assert (bytes(tomb[0]), tomb[1]) == (b"", "withdrawn")
            assert self.stream.used() == self.stream.calls.at_withdrawal

    def holding(self) -> set[str]:
        """The tables that have the call's pseudonym in any row, whatever the column."""
        tables = self.eye.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        asked = "SELECT FROM {} t WHERE to_jsonb(t)::text LIKE %s LIMIT 1"
        return {
            name
            for (name,) in tables
            if self.eye.execute(sql.SQL(asked).format(sql.Identifier(name)), (f"%{self.stream.call}%",)).fetchall()
        }


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HISTORIES, SCHEDULES)
def test_nothing_is_written_that_is_not_allowed_and_nothing_stays_of_what_is_withdrawn(
    migrated: str, history: History, schedule: Schedule
) -> None:
    Run(migrated, history, schedule)


ANGRY = (Speak(14), Speak(16), Speak(16), Speak(16))


def test_a_call_with_all_that_is_needed_is_in_every_table(migrated: str) -> None:
    run = Run(migrated, (Start(says=(Say(),)), (*ANGRY, Ended("completed"))), [(10, "judge record")])
    assert run.found == {"calls", "call_state", "labels", "evolutions", "escalations", "outbox"}


def test_of_a_withdrawn_call_nothing_is_left_but_tombstone_and_audit_row(migrated: str) -> None:
    for after in ((), (Say(), Speak(16)), (Ended("completed"),)):
        told = (Start(says=(Say(),)), (*ANGRY, Say(granted=False), *after))
        run = Run(migrated, told, [(10, "judge record")])
        assert run.found == {"call_state", "audit"}
        assert run.eye.closed


CLOSINGS = ["erased", "withdrawn on a wrong partition"]


async def close_elsewhere(stream: Stream, database: Database, how: str) -> None:
    """What another process does to a call that a worker has in memory."""
    if how == "erased":
        await erase(database, stream.told.call_id, (EPOCH,), at=stream.now)
        return
    told = stream.told
    withdrawal = CallRecord(told.call_id, 99, 0, told.now, Say(granted=False).at(told.now))
    misplaced = told.topics.append(encode_call(withdrawal))
    other = stream.start(partitions=64)
    await other.handle(Batch(misplaced.topic, 5, (misplaced,)))


@pytest.mark.parametrize("how", CLOSINGS)
def test_a_call_that_is_closed_elsewhere_is_forgotten_by_the_worker_that_has_it_at_its_next_checkpoint(
    migrated: str, how: str
) -> None:
    told = tell((Start(says=(Say(),)), (*ANGRY, *ANGRY)), "call-elsewhere")

    async def run() -> None:
        database = Database(migrated, application="test")
        with decoded() as chunks:
            stream = Stream(
                told, PostgresCalls(database), lambda clock: Outcomes(database, RULES, SCHEMES, clock), chunks
            )
            await stream.hear(0, 40)
            await stream.judge()
            await stream.record()
            queued = len(stream.windows())
            assert queued
            await stream.hear(40, 50)  # its windows wait to be judged
            await close_elsewhere(stream, database, how)
            judged = len(stream.emotion.windows)
            await stream.hear(50, 60)  # heard yet, in memory: nobody has told this worker
            heard = len(chunks)
            await stream.hear(60, 100)
            await stream.judge()
            await stream.record()
            assert len(chunks) == heard < len(told.audio)
            assert len(stream.emotion.windows) == judged
            assert not stream.segment._partitions[0].calls
        await database.close()

    asyncio.run(run())
    with psycopg.connect(migrated) as eye:
        for table in ("calls", "labels", "evolutions", "escalations"):
            assert eye.execute(sql.SQL("SELECT FROM {}").format(sql.Identifier(table))).fetchall() == []
        closed = eye.execute("SELECT closed, state FROM call_state").fetchall()
    assert closed == [(how.partition(" ")[0], b"")]
