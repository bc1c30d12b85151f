"""A run that went well, made of the oracle's own expectations: each test spoils one thing in it."""

from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random
from typing import Any

import msgspec
import pytest

from ops.chaos.calls import Kind, Mix, Permission, plan
from ops.chaos.check import Findings, check
from ops.chaos.ledger import MARK, Entry, Ledger
from ops.chaos.oracle import Expected, Oracle, scored
from ops.chaos.poison import poisoned
from ops.chaos.seen import Seen
from ops.chaos.watch import Sample
from streams import usecases
from streams.adapters.memory_topics import Kept, MemoryTopics
from streams.domain.deadletters import Reason, UnusableError
from streams.domain.privacy import Epoch
from streams.domain.records import Escalation
from streams.domain.retraction import retraction
from streams.domain.trail import GENESIS, digest
from streams.domain.trail import Entry as AuditRow
from streams.kafka.cloudevents import encode_deadletter, encode_escalation, encode_label, encode_window
from streams.kafka.deadletters import dead_letter
from streams.kafka.liveness import Position
from streams.ports import Outgoing
from streams.topics import TOPICS

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
EPOCHS = (Epoch("test", bytes(32), AT - timedelta(days=1)),)
PARTITIONS = 2
MIX = Mix(permissions=((Permission.GIVEN, 0.6), (Permission.WITHDRAWN, 0.4)), poison=0.05)


@dataclass(slots=True)
class Run:
    """Everything that the checker looks at, each part open to be spoilt."""

    ledger: Ledger
    topics: dict[str, list[Kept]]
    rows: dict[str, list[dict[str, Any]]]
    expected: Mapping[str, Expected]
    samples: list[Sample]
    trail: list[AuditRow]

    def check(self) -> Findings:
        """What the checker says."""
        return check(self.ledger, Seen(self.topics, self.rows, self.trail), self.expected, self.samples)

    def of(self, *, withdrawn: bool) -> list[Expected]:
        """The calls that were, or were not, withdrawn."""
        return [each for each in self.expected.values() if (each.withdrawn_at is not None) is withdrawn]


@pytest.fixture
def run(well: Run) -> Run:
    """A run of this test's own."""
    topics = {name: list(records) for name, records in well.topics.items()}
    ledger = copy(well.ledger)
    ledger.entries = list(well.ledger.entries)
    return Run(ledger, topics, deepcopy(well.rows), well.expected, [], list(well.trail))


@pytest.fixture(scope="session")
def well(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Six calls as they should end, one escalation of a withdrawn call sent and retracted."""
    broker, random = MemoryTopics(PARTITIONS, lambda: AT), Random(7)  # noqa: S311 - the same in every run
    calls = [poisoned(random, plan(random, f"call-{n}", MIX, AT), MIX.poison, PARTITIONS) for n in range(6)]
    ledger = Ledger(tmp_path_factory.getbasetemp() / "ledger.jsonl", calls)
    for number, sending in ledger.sendings.items():
        record = sending.record
        marked = Outgoing(record.topic, record.key, record.value, (*record.headers, (MARK, str(number).encode())))
        kept = broker.append(marked, sending.partition)
        digest = sha256(record.value).hexdigest()
        place = (kept.partition, kept.offset)
        ledger.entries.append(
            Entry(number, sending.call_id, sending.sequence, sending.kind, sending.reason, digest, *place)
        )
    log = broker.read("calls.v1")
    oracle = Oracle(EPOCHS, usecases.load()["demo"].rules, PARTITIONS, scored)
    by_key = [[record for record in log if record.key == call.call_id.encode()] for call in calls]
    expected = {each.call: each for records in by_key if (each := oracle.expect(records)) is not None}
    _effects(broker, ledger, expected)
    topics = {topic.name: list(broker.read(topic.name)) for topic in TOPICS}
    return Run(ledger, topics, _rows(expected), expected, [], _trail())  # type: ignore[arg-type]  # Kept is a Fetched


def _effects(broker: MemoryTopics, ledger: Ledger, expected: Mapping[str, Expected]) -> None:
    for due in expected.values():
        for window in due.windows:
            broker.append(encode_window(window))
        for label in due.labels:
            broker.append(encode_label(label))
        for escalation in due.escalations:
            broker.append(encode_escalation(escalation))
    withdrawn = next(due for due in expected.values() if due.withdrawn_at is not None)
    for each in (_escalation(expected, withdrawn.call), retraction(_escalation(expected, withdrawn.call))):
        broker.append(encode_escalation(each))
    for record in broker.read("calls.v1"):
        sending = ledger.kind(record)
        if sending is not None and sending.kind is Kind.POISON:
            error = UnusableError(Reason(sending.reason or ""), "spoilt")
            broker.append(encode_deadletter(dead_letter(record, error)))


def _escalation(expected: Mapping[str, Expected], call: str) -> Escalation:
    some = next(each for due in expected.values() for each in due.escalations)
    return replace(some, id=f"of-{call[:8]}", call=call)


def _rows(expected: Mapping[str, Expected]) -> dict[str, list[dict[str, Any]]]:
    kept = [due for due in expected.values() if due.withdrawn_at is None]
    raised = [each for due in kept for each in due.escalations]
    return {
        "calls": [_call(due) for due in kept],
        "call_state": [_state(due) for due in expected.values()],
        "labels": [msgspec.to_builtins(label) for due in kept for label in due.labels],
        "evolutions": [{"call": due.call} for due in kept],
        "committed": [{"window_id": label.window_id, "at": AT} for due in kept for label in due.labels],
        "escalations": [{"id": each.id, "call": each.call, "window_ids": list(each.window_ids)} for each in raised],
        "outbox": [{"call": each.call, "escalation_id": each.id, "sent_at": AT} for each in raised],
        "audit": [{"call": due.call, "action": "call.withdrawn"} for due in expected.values() if due.withdrawn_at],
    }


def _trail() -> list[AuditRow]:
    """Three audit rows, chained."""
    entries, previous = list[AuditRow](), GENESIS
    for number in range(3):
        entry = AuditRow(number, AT, "call.withdrawn", "segment", "0" * 64, "{}", previous, "")
        previous = digest(entry, previous)
        entries.append(replace(entry, hash=previous))
    return entries


def _call(due: Expected) -> dict[str, Any]:
    fates = {"0 agent": due.fates[0], "1 customer": due.fates[1]}
    return {"call": due.call, "channels": ["agent", "customer"], "ended_at": AT, "fates": fates}


def _state(due: Expected) -> dict[str, Any]:
    return {"call": due.call, "closed": "withdrawn" if due.withdrawn_at else "ended", "saved_at": AT}


def committed(stage: str, partition: int, offset: int, at: datetime) -> Sample:
    """A sample in which this group has committed so far, and no other anything."""
    stages: Sequence[str] = ("segment", "label", "escalate")
    nothing = {name: {number: Position(0, 10_000) for number in range(PARTITIONS)} for name in stages}
    nothing[stage][partition] = Position(offset, 10_000)
    return Sample(at.timestamp(), at.timestamp(), nothing)
