"""Holds what a run left behind against what the oracle expects: every finding is a broken promise."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from ops.chaos.calls import Kind
from ops.chaos.ledger import Ledger
from ops.chaos.oracle import Expected
from ops.chaos.seen import Seen
from ops.chaos.watch import Sample
from streams.app import SOURCES
from streams.domain import trail
from streams.domain.records import Escalation, Heads, Label
from streams.kafka.cloudevents import decode_deadletter, decode_escalation, decode_label, decode_window
from streams.ports import Fetched
from streams.store.audit import Action
from streams.topics import CALLS, DEADLETTERS, ESCALATIONS, LABELS, WINDOWS

NEAR = 1e-4  #: of the real bundle: a batch's company moves the last bits


@dataclass(slots=True)
class Findings:
    """What was found of one run. `broken`: invariant -> findings, none of which names a call."""

    broken: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    records: int = 0  #: acknowledged by the broker
    effects: int = 0  #: label rows, escalations and dead letters that had to be
    lost: int = 0
    doubled: int = 0
    repeats: int = 0  #: records of derived topics that came again, and changed nothing
    withdrawal_s: list[float] = field(default_factory=list)  #: a withdrawal's log time -> its tombstone

    def hold(self, invariant: str, holds: bool, finding: str) -> None:
        """Enter a finding where something that must hold does not."""
        if not holds:
            self.broken[invariant].append(finding)


def check(
    ledger: Ledger, seen: Seen, expected: Mapping[str, Expected], samples: Sequence[Sample], *, exact: bool = True
) -> Findings:
    """Check one run; `expected` by pseudonym. `exact`: probabilities are equal to the last bit."""
    found = Findings(records=len(ledger.entries))
    _log_holds_the_ledger(found, ledger, seen)
    for call, due in expected.items():
        _fates(found, due, [row for row in seen.rows["calls"] if row["call"] == call])
    _windows(found, expected, seen)
    _labels(found, expected, seen, exact=exact)
    _escalations(found, expected, seen)
    _order(found, expected, seen)
    _commits(found, expected, seen, samples)
    _consent(found, expected, seen)
    _trail(found, seen)
    _dead_letters(found, ledger, seen)
    return found


def _log_holds_the_ledger(found: Findings, ledger: Ledger, seen: Seen) -> None:
    """I0: the broker kept what it acknowledged; without that nothing else means anything."""
    log = {(record.partition, record.offset): record for record in seen.records[CALLS.name]}
    for entry in ledger.entries:
        record = log.get((entry.partition, entry.offset))
        kept = record is not None and sha256(record.value or b"").hexdigest() == entry.sha256
        found.hold("I0 log", kept, f"record {entry.partition}/{entry.offset} was acknowledged and is not there")


def _fates(found: Findings, due: Expected, rows: Sequence[Mapping[str, Any]]) -> None:
    """I1: every millisecond has the fate that the undisturbed fold gives it, and they sum to what was published."""
    if due.withdrawn_at is not None:
        return
    found.hold("I1 conservation", len(rows) == 1, f"{len(rows)} rows of a call")
    for row in rows:
        found.hold("I1 conservation", row["ended_at"] is not None, "a call never ended")
        fates = [row["fates"].get(f"{channel} {role}", {}) for channel, role in enumerate(row["channels"])]
        same = [_nonzero(own) for own in fates] == [_nonzero(own) for own in due.fates]
        found.hold("I1 conservation", same, f"fates {fates}, not {due.fates}")
        for own in fates:
            whole = sum(own.values()) == due.heard_ms
            found.hold("I1 conservation", whole, f"{sum(own.values())} ms have a fate, {due.heard_ms} were published")


def _nonzero(fates: Mapping[str, int]) -> dict[str, int]:
    return {fate: ms for fate, ms in fates.items() if ms}


def _windows(found: Findings, expected: Mapping[str, Expected], seen: Seen) -> None:
    """I1: every window that the undisturbed fold cuts was sent; of withdrawn calls perhaps some, and no others."""
    sent = _first(seen.records[WINDOWS.name], _window_place)
    may = {window.id for due in expected.values() for window in due.windows}
    must = {window.id for due in expected.values() if due.withdrawn_at is None for window in due.windows}
    found.hold("I1 conservation", must <= sent.keys(), f"{len(must - sent.keys())} windows never sent")
    found.hold("I1 conservation", sent.keys() <= may, f"{len(sent.keys() - may)} windows that nobody spoke")


def _labels(found: Findings, expected: Mapping[str, Expected], seen: Seen, *, exact: bool) -> None:
    """I2: a row for each expected window, and no other; each as the scorer says."""
    due = {label.window_id: label for each in expected.values() for label in each.labels}
    rows = {row["window_id"]: row for row in seen.rows["labels"]}
    _compare(found, "I2 effects", "label rows", due, rows)
    for id_ in due.keys() & rows.keys():
        same = _same(due[id_], rows[id_], exact=exact)
        found.hold("I2 effects", same, "a label row does not say what the scorer says of its window")


def _same(label: Label, row: Mapping[str, Any], *, exact: bool) -> bool:
    told = (label.start_ms, label.end_ms, label.consent_seq, label.outcome.value, label.reason, label.classes)
    stored = (row["start_ms"], row["end_ms"], row["consent_seq"], row["outcome"], row["reason"], row["classes"])
    due, there = _shares(label.heads), _shares(row["heads"])
    allowed = 0 if exact else NEAR
    return told == stored and due.keys() == there.keys() and all(abs(due[of] - there[of]) <= allowed for of in due)


def _shares(heads: Heads) -> dict[tuple[str, str], float]:
    return {(head, name): share for head, shares in heads.items() for name, share in shares.items()}


def _escalations(found: Findings, expected: Mapping[str, Expected], seen: Seen) -> None:
    """I2: the escalations that the rule asks for and no other, in Postgres and on the topic."""
    due = {each.id: each for call in expected.values() for each in call.escalations}
    rows = {row["id"]: row for row in seen.rows["escalations"]}
    _compare(found, "I2 effects", "escalations", due, rows)
    for id_ in due.keys() & rows.keys():
        same = list(due[id_].window_ids) == rows[id_]["window_ids"]
        found.hold("I2 effects", same, "an escalation names other windows than the rule")
    delivered = {told.id for told in _delivered(seen) if expected[told.call].withdrawn_at is None}
    _compare(found, "I2 effects", "escalations on the topic", due, delivered, counted=False)
    entries = Counter(row["escalation_id"] for row in seen.rows["outbox"] if row["escalation_id"] in due)
    found.hold("I2 effects", all(count == 1 for count in entries.values()), "an escalation is in the outbox twice")
    unsent = sum(row["sent_at"] is None for row in seen.rows["outbox"])
    found.hold("I2 effects", unsent == 0, f"{unsent} outbox rows were never sent")


def _delivered(seen: Seen) -> list[Escalation]:
    return [told for record in seen.records[ESCALATIONS.name] if not (told := decode_escalation(record)).retracted]


def _compare(
    found: Findings, invariant: str, what: str, due: Iterable[object], there: Iterable[object], *, counted: bool = True
) -> None:
    lost, extra = set(due) - set(there), set(there) - set(due)
    if counted:
        found.effects += len(set(due))
        found.lost += len(lost)
        found.doubled += len(extra)
    found.hold(invariant, not lost, f"{len(lost)} {what} lost")
    found.hold(invariant, not extra, f"{len(extra)} {what} too many")


def _order(found: Findings, expected: Mapping[str, Expected], seen: Seen) -> None:
    """I3: the first time that each window and each label comes, it comes in the order of the call."""
    streams: dict[str, tuple[Sequence[Fetched], Callable[[Fetched], tuple[str, int, str]]]] = {
        "windows": (seen.records[WINDOWS.name], _window_place),
        "labels": (seen.records[LABELS.name], _label_place),
    }
    for what, (records, place) in streams.items():
        first: dict[str, None] = {}
        last: dict[str, int] = {}
        for record in records:
            call, start_ms, id_ = place(record)
            found.hold("I2 effects", call in expected, f"{what} of a call that was never published")
            if id_ not in first:
                found.hold("I3 order", start_ms > last.get(call, -1), f"{what} out of order")
                last[call] = start_ms
            first[id_] = None
        found.repeats += len(records) - len(first)


def _window_place(record: Fetched) -> tuple[str, int, str]:
    window = decode_window(record)
    return window.call, window.start_ms, window.id


def _label_place(record: Fetched) -> tuple[str, int, str]:
    label = decode_label(record)
    return label.call, label.start_ms, label.window_id


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that had to come of the record at `offset`, and when it came (seconds since 1970)."""

    stage: str
    partition: int
    offset: int
    at: float


def _commits(found: Findings, expected: Mapping[str, Expected], seen: Seen, samples: Sequence[Sample]) -> None:
    """I4: nothing was committed before its effect was there; for a window that is the record of its first sample."""
    for effect in _effects(expected, seen):
        for sample in samples:
            if sample.at >= effect.at:
                break
            committed = sample.positions[effect.stage][effect.partition].committed
            if committed > effect.offset:
                early_s = effect.at - sample.at
                found.broken["I4 commit"].append(f"{effect.stage}: committed {early_s:.2f} s before the effect")
                break


def _effects(expected: Mapping[str, Expected], seen: Seen) -> Iterator[Effect]:
    windows, labels = _first(seen.records[WINDOWS.name], _window_place), _first(seen.records[LABELS.name], _label_place)
    rows = {row["window_id"]: row["at"].timestamp() for row in seen.rows["committed"]}
    for each in expected.values():
        for window in each.windows:
            sent, labelled = windows.get(window.id), labels.get(window.id)
            if sent is not None:
                offset = each.first_offsets[window.id]
                yield Effect("segment", each.partition, offset, sent.timestamp / 1000)
            if sent is not None and labelled is not None:
                yield Effect("label", sent.partition, sent.offset, labelled.timestamp / 1000)
            if labelled is not None and window.id in rows:
                yield Effect("escalate", labelled.partition, labelled.offset, rows[window.id])
    reads = {topic.name: stage for stage, topic in SOURCES.items()}
    first = {_letter_place(record): record.timestamp / 1000 for record in reversed(seen.records[DEADLETTERS.name])}
    for (topic, partition, offset), at in first.items():
        yield Effect(reads[topic], partition, offset, at)


def _letter_place(record: Fetched) -> tuple[str, int, int]:
    letter = decode_deadletter(record)
    return letter.topic, letter.partition, letter.offset


def _first(records: Sequence[Fetched], place: Callable[[Fetched], tuple[str, int, str]]) -> dict[str, Fetched]:
    first: dict[str, Fetched] = {}
    for record in records:
        first.setdefault(place(record)[2], record)
    return first


def _consent(found: Findings, expected: Mapping[str, Expected], seen: Seen) -> None:
    """I5: of a withdrawn call a tombstone and one audit row, and as the last word on all that went out a retraction."""
    states = {row["call"]: row for row in seen.rows["call_state"]}
    audited = Counter(row["call"] for row in seen.rows["audit"] if row["action"] == Action.WITHDRAWN)
    last: defaultdict[str, dict[str, bool]] = defaultdict(dict)
    for record in seen.records[ESCALATIONS.name]:
        told = decode_escalation(record)
        last[told.call][told.id] = told.retracted
    for call, due in expected.items():
        if due.withdrawn_at is None:
            found.hold("I5 consent", not audited[call], "a call is on record as withdrawn that never was")
            continue
        for table in ("calls", "labels", "evolutions", "escalations", "outbox"):
            left = sum(row["call"] == call for row in seen.rows[table])
            found.hold("I5 consent", not left, f"{left} rows of a withdrawn call in {table}")
        found.hold("I5 consent", audited[call] == 1, f"{audited[call]} audit rows of a withdrawal")
        state = states.get(call)
        found.hold(
            "I5 consent", state is not None and state["closed"] == "withdrawn", "a withdrawn call has no tombstone"
        )
        if state is not None:
            found.withdrawal_s.append((state["saved_at"] - due.withdrawn_at).total_seconds())
        standing = sum(not retracted for retracted in last[call].values())
        found.hold("I5 consent", not standing, f"{standing} escalations of a withdrawn call stand")


def _trail(found: Findings, seen: Seen) -> None:
    """I5: the audit trail is what was written."""
    try:
        trail.check(seen.trail)
    except trail.BrokenTrailError as broken:
        found.broken["I5 consent"].append(str(broken))


def _dead_letters(found: Findings, ledger: Ledger, seen: Seen) -> None:
    """I8: each unusable record has its dead letter, under its reason, and nothing else has one."""
    letters = {}
    for record in seen.records[DEADLETTERS.name]:
        letter = decode_deadletter(record)
        letters[letter.topic, letter.partition, letter.offset] = letter.reason.value
    found.repeats += len(seen.records[DEADLETTERS.name]) - len(letters)
    due = {
        (record.topic, record.partition, record.offset): sending.reason
        for record in seen.records[CALLS.name]
        if (sending := ledger.kind(record)) is not None and sending.kind is Kind.POISON
    }
    _compare(found, "I8 dead letters", "dead letters", due, letters)
    for place in due.keys() & letters.keys():
        found.hold("I8 dead letters", due[place] == letters[place], f"{letters[place]}, not {due[place]}")
