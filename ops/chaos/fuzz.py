"""`python -m ops.chaos.fuzz [--records 1000000] [--seed 1]`: damaged records through every stage, over in-memory twins.

Between the damaged records of each round lies a healthy call: its windows, labels and fates must be those that it has
alone, and segment must have declared the whole log durable. Whatever escapes a stage is a crash and ends the run, as
does a round of over STALL_S; KEPT_MIB, KEPT_BYTES and KEPT_OBJECTS bound what the process keeps of damaged records.
"""

import argparse
import asyncio
import faulthandler
import gc
import logging
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
import psutil
from prometheus_client import CollectorRegistry

from ops.chaos.mutate import golden, mutated
from streams import usecases
from streams.adapters.fixed_emotion import FixedEmotion
from streams.adapters.memory_calls import MemoryCalls
from streams.adapters.memory_outcomes import MemoryOutcomes
from streams.adapters.memory_tables import MemoryTables
from streams.adapters.memory_topics import Kept, MemoryTopics
from streams.domain.deadletters import DeadLetter
from streams.domain.privacy import Epoch, pseudonym
from streams.domain.records import (
    Audio,
    CallBody,
    CallRecord,
    Consent,
    Encoding,
    Ended,
    Gap,
    Notice,
    Purpose,
    Role,
    Started,
)
from streams.domain.scoring import check_label
from streams.kafka.cloudevents import decode_deadletter, encode_call
from streams.kafka.deadletters import KafkaDeadLetters
from streams.metrics import Metrics
from streams.ports import Batch, Stage
from streams.speech.activity import Activity, Stretch, VoiceActivity, frame_samples
from streams.speech.expecting import expecting
from streams.stages.escalate import EscalateStage
from streams.stages.label import LabelStage
from streams.stages.segment import Segment
from streams.topics import CALLS, DEADLETTERS, LABELS, WINDOWS, Topic

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
EPOCH = Epoch("e1", b"k" * 32, AT - timedelta(days=1))
ROUND = 500  #: damaged records
WINDOWS_EACH = 3  #: of a healthy call
STALL_S = 60  #: for a round, which takes well under a second
IDLE_S = 50  #: by then a call is idle and releases the commit, whatever the clocks' margin; rounds are 60 s apart
KEPT_MIB, KEPT_BYTES = 16, 16  #: memory may grow by the first, and by the second for each damaged record
KEPT_OBJECTS = 0.5  #: Python's own, a damaged record


class Loud(VoiceActivity):
    """Speech is what is loud."""

    def __init__(self) -> None:
        """No model is read."""

    def hear(self, rate: int, stretches: Sequence[Stretch]) -> list[Activity]:
        """Judge by the mean square of a frame."""
        heard = []
        for stretch in stretches:
            frames = stretch.frames.reshape(-1, frame_samples(rate)).astype(np.int64)
            energy = (frames * frames).sum(axis=1)
            probability = tuple(float(value) for value in energy > frame_samples(rate) * 10_000)
            heard.append(Activity(probability, tuple(energy.tolist()), stretch.state))
        return heard


def healthy(call_id: str, at: datetime) -> list[Kept]:
    """A call of three windows, as fetched."""
    grant = Consent(Purpose.ALERTING, granted=True, basis="consent", given_at=at - timedelta(minutes=1))
    notice = Notice("ivr", "1", "en", at - timedelta(minutes=1))
    bodies: list[CallBody] = [Started("demo", (Role.AGENT, Role.CUSTOMER), "en", notice, (grant,))]
    for turn in range(3):
        bodies += [_chunk(speaks=True, seconds=3, loud=2000 + turn), _chunk(speaks=False, seconds=1, loud=0)]
    bodies += [Gap(500, "paused"), grant, Ended("completed")]
    sender, media_ms = MemoryTopics(now=lambda: at), 0
    for sequence, body in enumerate(bodies):
        sender.append(encode_call(CallRecord(call_id, sequence, media_ms, at, body)))
        media_ms += body.duration_ms if isinstance(body, Audio | Gap) else 0
    return [record for record in sender.read(CALLS.name) if isinstance(record, Kept)]


def _chunk(*, speaks: bool, seconds: int, loud: int) -> Audio:
    frame = bytes(2) + (loud if speaks else 0).to_bytes(2, "big")
    return Audio(Encoding.L16, 8000, 2, frame * 8000 * seconds)


@dataclass
class Rig:
    """Segment, label and escalate on one set of twins."""

    random: Random
    now: datetime = AT
    seeds: list[Kept] = field(default_factory=golden)
    tables: MemoryTables = field(default_factory=MemoryTables)
    reasons: Counter[str] = field(default_factory=Counter)
    expected: object = None  #: the healthy call's fates in the first round
    damaged: int = 0
    rounds: int = 0
    offset: int = 0

    def __post_init__(self) -> None:
        """Build the stages."""
        self.topics = MemoryTopics(now=lambda: self.now)
        letters, metrics = KafkaDeadLetters(self.topics), Metrics(CollectorRegistry())
        loaded = usecases.load()
        schemes = {name: each.scheme for name, each in loaded.items()}
        rules = {name: each.rules for name, each in loaded.items()}
        store = MemoryOutcomes(self.tables, rules, schemes, lambda: self.now)
        self.segment = Segment(
            epochs=(EPOCH,),
            use_cases={name: expecting(Loud(), use_case) for name, use_case in loaded.items()},
            partitions=lambda: 1,
            store=MemoryCalls(self.tables),
            sender=self.topics,
            letters=letters,
            activity=Loud(),
            metrics=metrics,
            clock=lambda: self.now,
            checkpoint_interval_s=0,
        )
        emotion = FixedEmotion(schemes, {})
        asked = {name: each.asked for name, each in loaded.items()}
        self.label = LabelStage(letters, store, emotion, asked, self.topics, metrics, lambda: self.now)
        self.escalate = EscalateStage(letters, store, metrics, lambda: self.now)

    async def round(self) -> None:
        """Damage records on every topic around one healthy call, and look at what became of it."""
        self.rounds += 1
        self.now += timedelta(minutes=1)
        name = f"healthy-{self.rounds}"
        rough = [record for number in range(4) for record in healthy(f"rough-{self.rounds}-{number}", self.now)]
        begun = [record for record in rough if dict(record.headers)["ce_sequence"] == b"0"]
        end = await self._feed(self.segment, CALLS, healthy(name, self.now), rough, begun)
        windows = self._taken(WINDOWS)
        await self._feed(self.label, WINDOWS, windows, windows)
        labels = self._taken(LABELS)
        await self._feed(self.escalate, LABELS, labels, labels)
        durable = await self.segment.handle(Batch(CALLS.name, 0, (), caught_up=self.now + timedelta(seconds=IDLE_S)))
        if durable != end:
            raise AssertionError(f"segment stands still {end - (durable or 0)} records before the log's end")
        self._check(pseudonym(EPOCH, name))
        self._forget()

    def _taken(self, topic: Topic) -> list[Kept]:
        return [record for record in self.topics.read(topic.name) if isinstance(record, Kept)]

    async def _feed(
        self, stage: Stage, topic: Topic, sound: list[Kept], pool: list[Kept], begun: Sequence[Kept] = ()
    ) -> int:
        """`sound` in its order, and a third of a round's damaged records of `pool` anywhere; the log's end then."""
        timed = topic is not CALLS  # its broker stamps the records itself
        own = [record for record in self.seeds if record.topic == topic.name]
        pool = [*self.seeds, *own, *own, *pool]
        chosen = self.random.choices(pool, k=ROUND // 3)
        log = [*begun, *(mutated(self.random, record, pool, times=timed) for record in chosen)]
        self.damaged += len(chosen)
        for shift, record in enumerate(sound):
            log.insert(shift + (shift + 1) * len(chosen) // (len(sound) + 1), record)
        stamp = round(self.now.timestamp() * 1000)
        placed = [
            replace(record, topic=topic.name, offset=offset, timestamp=record.timestamp if timed else stamp)
            for offset, record in enumerate(log, start=self.offset)
        ]
        self.offset += len(placed)
        while placed:
            batch, placed = placed[: (size := self.random.choice((1, 7, 50, 400)))], placed[size:]
            durable = await stage.handle(Batch(topic.name, 0, tuple(batch)))
            if timed and durable != batch[-1].offset + 1:
                raise AssertionError("a stage stands still")
        return self.offset

    def _check(self, call: str) -> None:
        fates = self.tables.calls[call].fates
        if self.expected is None:
            self.expected = fates
        labelled = {label.window_id for label in self.tables.labels.values() if label.call == call}
        if fates != self.expected or len(labelled) != WINDOWS_EACH:
            raise AssertionError("damaged records changed what became of a healthy call")
        for label in map(check_label, self.tables.labels.values()):
            if not all(0 <= value <= 1 for row in label.heads.values() for value in row.values()):
                raise AssertionError("a label holds what is no probability")
        for letter in self._letters():
            self.reasons[letter.reason] += 1

    def _letters(self) -> list[DeadLetter]:
        return [decode_deadletter(record) for record in self.topics.read(DEADLETTERS.name)]

    def _forget(self) -> None:
        """What retention would do: only the calls that are going on stay."""
        self.topics._logs.clear()  # noqa: SLF001 - the twin has no retention
        for part in (self.tables.labels, self.tables.escalations, self.tables.outbox, self.tables.audit):
            part.clear()
        for call in [call for call, state in self.tables.states.items() if state.stored.closed]:
            del self.tables.states[call]
            self.tables.calls.pop(call, None)
            self.tables.evolutions.pop(call, None)


@dataclass(frozen=True, slots=True)
class Told:
    """What a run came to."""

    damaged: int
    reasons: Counter[str]
    seconds: float
    longest_s: float  #: of a round
    grown_mib: float  #: over the last nine tenths
    objects: float  #: kept for each damaged record, over the last nine tenths

    @property
    def is_flat(self) -> bool:
        """Whether no more was kept than may be."""
        return self.grown_mib <= KEPT_MIB + self.damaged * KEPT_BYTES / (1 << 20) and self.objects <= KEPT_OBJECTS

    def __str__(self) -> str:
        """One line for a person, one for each reason."""
        head = (
            f"{self.damaged:,} damaged records in {self.seconds:.0f} s, none escaped a stage; the longest round"
            f" took {self.longest_s:.2f} s; {self.grown_mib:+.1f} MiB, {self.objects:+.3f} objects a record"
        )
        return "\n".join([head, *(f"  {reason:18} {count:>9,}" for reason, count in self.reasons.most_common())])


@dataclass(frozen=True, slots=True)
class _Look:
    """At the process between two rounds."""

    damaged: int
    rss: int
    objects: int


def _look(damaged: int) -> _Look:
    gc.collect()
    return _Look(damaged, psutil.Process().memory_info().rss, sys.getallocatedblocks())


async def fuzz(records: int, seed: int) -> Told:
    """Damage at least so many records. Raises whatever escapes a stage; ends the process at a stall."""
    rig, began, longest_s, first = Rig(Random(seed)), time.monotonic(), 0.0, None
    while rig.damaged < records:
        faulthandler.dump_traceback_later(STALL_S, exit=True, file=sys.__stderr__ or sys.stderr)
        before = time.monotonic()
        await rig.round()
        longest_s = max(longest_s, time.monotonic() - before)
        if first is None and rig.damaged * 10 >= records:
            first = _look(rig.damaged)
    faulthandler.cancel_dump_traceback_later()
    last = _look(rig.damaged)
    first = first or last
    objects = (last.objects - first.objects) / max(1, last.damaged - first.damaged)
    grown_mib = (last.rss - first.rss) / (1 << 20)
    return Told(rig.damaged, rig.reasons, time.monotonic() - began, longest_s, grown_mib, objects)


def main() -> None:
    """Run, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.CRITICAL)
    told = asyncio.run(fuzz(arguments.records, arguments.seed))
    print(f"seed {arguments.seed}: {told}")
    if not told.is_flat:
        sys.exit("the process keeps something of the records")


if __name__ == "__main__":
    main()
