"""One run: calls published while a row's fault goes on, then quiet, then the checker."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from ops.chaos.calls import Planned, plan
from ops.chaos.check import Findings, check
from ops.chaos.control import Control, compare, controlled
from ops.chaos.faults import Breaking, Fault
from ops.chaos.leaks import leaks
from ops.chaos.ledger import Ledger, Publisher
from ops.chaos.oracle import Expected, Labeller, Oracle, scored
from ops.chaos.poison import poisoned
from ops.chaos.rows import Row
from ops.chaos.seen import Ends, Seen, collect, ends
from ops.chaos.site import Site
from ops.chaos.sizes import Size, Sizes, measuring
from ops.chaos.watch import Watch, settled, watching
from streams import usecases
from streams.domain.privacy import pseudonym
from streams.ports import Fetched
from streams.speech.activity import VoiceActivity
from streams.speech.expecting import expecting
from streams.store.epochs import read_epochs
from streams.topics import CALLS

PATIENCE_S = 180.0  #: for everything to settle once the fault is over
IDLE_S = 60.0  #: while nothing is broken and a partition is behind: by then something of it is committed


@dataclass(slots=True)
class Outcome:
    """What came of one run."""

    row: Row
    seed: int
    findings: Findings
    faults: Sequence[Fault] = ()
    calls: int = 0
    settled_s: float | None = None  #: from the end of fault and input; None: never
    recovered_s: list[float] = field(default_factory=list)  #: of each fault that held something up
    restarts: int = 0
    peak: Size | None = None  #: the most that any worker held
    control: Control | None = None
    reasons: dict[str, int] = field(default_factory=dict)  #: why programs were started again


async def run(site: Site, row: Row, seed: int, labeller: Labeller = scored) -> Outcome:
    """Run the row once. What comes of `seed`: the calls and the choice of faults; the machine decides the rest."""
    random = Random(f"row {row.number}, seed {seed}")
    ledger = Ledger(site.folder / "ledger.jsonl", planned(row, random, site.settings.partitions))
    since, incidents = await ends(site), len(site.incidents)
    breaking = Breaking(site, random)
    async with controlled(site, wanted=row.control), watching(site) as watch, measuring(site) as sizes:
        with ledger:
            await _break_while_publishing(row, breaking, Publisher(site.publishing, ledger, speed=row.speed))
        settled_s = await settled(site, watch, patience_s=PATIENCE_S)
        control = await compare(site, ledger) if row.control else None
    seen = await _seen(site, ledger, since)
    expected = await asyncio.to_thread(_expect, site, ledger, seen, labeller)
    findings = check(ledger, seen, expected, watch.samples, exact=not row.real_bundle)
    outcome = Outcome(row, seed, findings, breaking.faults, len(ledger.planned), settled_s, control=control)
    _liveness(outcome, watch)
    _bounds(outcome, sizes)
    await _privacy(outcome, site, ledger)
    _restarts(outcome, [incident.reason for incident in site.incidents[incidents:]])
    return outcome


def planned(row: Row, random: Random, partitions: int) -> list[Planned]:
    """The calls of a run: each mix of the row in turn, so that every run has them all."""
    mixes = [row.mixes[number % len(row.mixes)] for number in range(row.calls)]
    calls = [(plan(random, f"chaos-{random.getrandbits(64):x}-{time.time_ns()}", mix), mix) for mix in mixes]
    return [poisoned(random, call, mix.poison, partitions) for call, mix in calls]


async def _break_while_publishing(row: Row, breaking: Breaking, publisher: Publisher) -> None:
    """Round after round until everything is published; what a round broke it has mended when it ends."""
    publishing = asyncio.create_task(publisher.publish(row.lanes))
    while not publishing.done() and breaking.rounds < row.most_rounds:
        await row.round(breaking)
        breaking.rounds += 1
    await publishing
    breaking.site.heal()


async def _seen(site: Site, ledger: Ledger, since: Ends) -> Seen:
    epochs = read_epochs(site.settings.epochs)
    calls = [pseudonym(epoch, call.call_id) for epoch in epochs for call in ledger.planned]
    return await collect(site, since, calls)


def _expect(site: Site, ledger: Ledger, seen: Seen, labeller: Labeller) -> dict[str, Expected]:
    epochs, case = read_epochs(site.settings.epochs), usecases.load()["demo"]
    oracle = Oracle(epochs, case.rules, site.settings.partitions, labeller, expecting(VoiceActivity(), case))
    known = {call.call_id.encode() for call in ledger.planned}
    by_key: defaultdict[bytes, list[Fetched]] = defaultdict(list)
    for record in seen.records[CALLS.name]:
        if record.key in known:
            by_key[record.key].append(record)
    found = [oracle.expect(records) for records in by_key.values()]
    return {each.call: each for each in found if each is not None}


def _liveness(outcome: Outcome, watch: Watch) -> None:
    """I7: everything settles, and each partition that a fault held up moves on soon after it."""
    found, faults = outcome.findings, outcome.faults
    found.hold("I7 liveness", outcome.settled_s is not None, f"not settled within {PATIENCE_S:.0f} s")
    recovered = [watch.recovered_s(fault.ended) for fault in faults]
    outcome.recovered_s = [seconds for seconds in recovered if seconds is not None]
    for fault in faults:
        idle_s = watch.idle_s(fault.ended, [other.ended for other in faults])
        found.hold(
            "I7 liveness", idle_s <= IDLE_S, f"{fault.what}: a partition stood still for {idle_s:.0f} s after it"
        )


def _bounds(outcome: Outcome, sizes: Sizes) -> None:
    """I9: no worker grows beyond what it may."""
    outcome.peak = sizes.worst
    for finding in sizes.findings():
        outcome.findings.hold("I9 bounds", holds=False, finding=finding)


async def _privacy(outcome: Outcome, site: Site, ledger: Ledger) -> None:
    """I6: no raw call id is anywhere but on calls.v1, where it came in."""
    ids, address = {call.call_id for call in ledger.planned}, site.settings.postgres.get_secret_value()
    for place in await asyncio.to_thread(leaks, site.folder, address, ids, known=ledger.path):
        outcome.findings.hold("I6 privacy", holds=False, finding=f"a raw call id in {place}")


def _restarts(outcome: Outcome, reasons: Sequence[str]) -> None:
    outcome.restarts = len(reasons)
    for reason in reasons:
        outcome.reasons[reason] = outcome.reasons.get(reason, 0) + 1
