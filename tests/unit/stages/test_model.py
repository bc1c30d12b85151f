"""Everything that may happen to a partition of calls, in any order: the outcome is that of an undisturbed run.

`UNDERTONE_MODEL_STEPS` sets how many steps are taken at least; the short form is for every day.
"""

import asyncio
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from unit.stages.bench import GRANT, NOTICE, STARTED
from unit.stages.rough import EPOCHS, Clock, CrashError, Twins, Worker
from unit.stages.story import Story, sound

from streams.adapters.memory_topics import Kept, MemoryTopics
from streams.domain.privacy import pseudonym
from streams.domain.records import Audio, CallBody, CallRecord, Consent, Ended, Gap, Notice, Purpose, Role
from streams.kafka.cloudevents import encode_call

STEPS = int(os.environ.get("UNDERTONE_MODEL_STEPS", "8000"))
STEPS_A_RUN = 80
taken = {"steps": 0, "runs": 0, "records": 0, "crashes": 0, "windows": 0}

names = st.sampled_from("abc")
channels = st.sampled_from(["ac", "ac", "ca", "c", "m", "a"])
lengths = st.sampled_from([20, 100, 480, 1000, 2600, 5000])
speakers = st.sampled_from(["c", "c", "c", "a", "ac", ""])
counts = st.sampled_from([1, 1, 2, 5, 30])
ROLES = {"a": Role.AGENT, "c": Role.CUSTOMER, "m": Role.MIXED}


@dataclass
class Publisher:
    """A call as its publisher sees it."""

    channels: str = "ac"
    sequence: int = 0
    media_ms: int = 0
    last: CallRecord | None = None
    told: list[tuple[int, CallRecord]] = field(default_factory=list)


class Partition(RuleBasedStateMachine):
    """Publishers, a log, a worker that is not spared, and the zombies that it leaves behind."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.topics = MemoryTopics(now=self.clock.read)
        self.log: list[Kept] = []
        self.calls = {name: Publisher() for name in "abc"}
        self.twins = Twins()
        self.worker = Worker(self.twins, self.clock, self.log)
        self.zombies: list[Worker] = []
        self.committed = 0
        self.durable: int | None = None
        self.erased: set[str] = set()
        self.seen: dict[str, tuple[int, bool, bool]] = {}
        taken["runs"] += 1

    # What publishers do.

    def publish(self, name: str, body: CallBody, *, skip: int = 0, media_ms: int | None = None) -> None:
        call = self.calls[name]
        at = call.media_ms if media_ms is None else media_ms
        self.append(name, CallRecord(name, call.sequence + skip, at, self.clock.now, body))
        call.sequence += skip + 1
        call.media_ms = max(call.media_ms, at + (body.duration_ms if isinstance(body, Audio | Gap) else 0))

    def append(self, name: str, record: CallRecord) -> None:
        self.clock.now += timedelta(milliseconds=7)
        record = replace(record, logged_at=self.clock.now)
        kept = self.topics.append(encode_call(record))
        self.log.append(kept)
        self.calls[name].last = record
        self.calls[name].told.append((kept.offset, record))

    @initialize(several=st.sets(names))
    def begin(self, several: set[str]) -> None:
        for name in sorted(several):
            self.publish(name, STARTED)

    @rule(
        name=names,
        channels=channels,
        consents=st.sampled_from([(GRANT,), (GRANT,), ()]),
        notice=st.sampled_from([NOTICE, NOTICE, NOTICE, None]),
    )
    def start(self, name: str, channels: str, consents: tuple[Consent, ...], notice: Notice | None) -> None:
        if not self.calls[name].told:
            self.calls[name].channels = channels
        roles = tuple(ROLES[each] for each in channels)
        self.publish(name, replace(STARTED, channels=roles, consents=consents, notice=notice))

    @rule(name=names, said=st.lists(st.tuples(speakers, lengths), min_size=1, max_size=8))
    def converse(self, name: str, said: list[tuple[str, int]]) -> None:
        for who, ms in said:
            self.speak(name, who, ms)

    @rule(name=names, times=st.integers(2, 8))
    def talk(self, name: str, times: int) -> None:
        for _ in range(times):
            self.speak(name, "cm", 2600)

    def speak(self, name: str, who: str, ms: int) -> None:
        call = self.calls[name]
        self.publish(name, sound(who, ms, call.channels, call.sequence % 500))

    @rule(name=names, ms=lengths, what=st.integers(0, 7))
    def go_wrong(self, name: str, ms: int, what: int) -> None:
        call = self.calls[name]
        match what:
            case 0 if call.last is not None:
                self.append(name, call.last)  # again
            case 1:  # too late
                self.publish(name, sound("c", ms, call.channels, 1), media_ms=max(0, call.media_ms - ms // 2))
            case 2:  # lost
                call.sequence, call.media_ms = call.sequence + 1, call.media_ms + ms
            case 3:  # out of order
                first = CallRecord(name, call.sequence, call.media_ms, self.clock.now, sound("c", ms, call.channels, 3))
                self.publish(name, sound("c", ms, call.channels, 2), skip=1, media_ms=call.media_ms + ms)
                self.append(name, first)
            case 4:  # with another number of channels
                self.publish(name, sound("c", ms, "c" if len(call.channels) == 2 else "ac", 4))
            case 5:
                self.publish(name, Gap(ms, "paused"))
            case 6:  # numbered anew, while its media clock runs on
                told = sound("c", ms, call.channels, 5)
                self.append(name, CallRecord(name, call.sequence // 2, call.media_ms, self.clock.now, told))
            case _:
                record = encode_call(CallRecord(name, 0, 0, self.clock.now, Ended("completed")))
                self.log.append(self.topics.append(replace(record, headers=record.headers[1:])))

    @rule(name=names, purpose=st.sampled_from(Purpose), lasts_s=st.sampled_from([None, 1, 40]))
    def grant(self, name: str, purpose: Purpose, lasts_s: int | None) -> None:
        expires_at = None if lasts_s is None else self.clock.now + timedelta(seconds=lasts_s)
        self.publish(name, replace(GRANT, purpose=purpose, expires_at=expires_at))

    @rule(name=names, purpose=st.sampled_from(Purpose), rare=st.integers(0, 5))
    def end_or_withdraw(self, name: str, purpose: Purpose, rare: int) -> None:
        withdrawal = replace(GRANT, purpose=purpose, granted=False)
        if rare == 0:
            self.publish(name, withdrawal)
        elif rare == 1:  # out of order, yet it counts
            self.append(name, CallRecord(name, 0, 0, self.clock.now, withdrawal))
        elif rare < 4:
            self.publish(name, Ended("completed"))

    @rule(seconds=st.sampled_from([0.2, 1, 10, 31, 31, 16 * 60]))
    def let_time_pass(self, seconds: float) -> None:
        self.clock.now += timedelta(seconds=seconds)

    # What happens to the worker.

    def run(self, worker: Worker, count: int) -> int | None:
        return self.loop.run_until_complete(worker.handle(count))

    def restart(self) -> None:
        self.worker = Worker(self.twins, self.clock, self.log, self.committed)
        self.durable = None

    @rule(count=counts)
    def handle(self, count: int) -> None:
        durable = self.run(self.worker, count)
        self.durable = self.durable if durable is None else durable
        self.check_nothing_is_passed()
        for name, call in self.calls.items():
            if Story.of(each for each in call.told if each[0] < self.worker.position).withdrawn is not None:
                assert not self.twins.tables.calls.keys() & self.pseudonyms(name)

    @rule(count=counts, effect=st.integers(0, 4), when=st.sampled_from(["before", "middle", "after"]))
    def crash(self, count: int, effect: int, when: str) -> None:
        self.twins.fuse.left, self.twins.fuse.when = effect, when
        try:
            self.run(self.worker, count)
        except CrashError:
            taken["crashes"] += 1
        self.twins.fuse.left = None
        self.restart()

    @rule(count=counts)
    def handle_and_commit(self, count: int) -> None:
        self.handle(count)
        self.commit()

    def commit(self) -> None:
        if self.durable is not None:
            self.committed = self.durable

    @rule(commits=st.booleans())
    def revoke(self, commits: bool) -> None:
        if commits:
            self.commit()
        self.worker.stage.lost({0})
        self.worker.position, self.durable = self.committed, None

    @rule(commits=st.booleans())
    def fence_off(self, commits: bool) -> None:
        """Another worker takes over; this one does not know and goes on."""
        if commits:
            self.commit()
        self.zombies = [*self.zombies[-1:], self.worker]
        self.restart()

    @precondition(lambda self: self.zombies)
    @rule(count=counts, which=st.integers(0, 1))
    def zombie_handles(self, count: int, which: int) -> None:
        self.run(self.zombies[which % len(self.zombies)], count)

    @rule(name=names, rare=st.integers(0, 9))
    def erase(self, name: str, rare: int) -> None:
        if not rare:
            self.erased.add(name)
            for each in sorted(self.pseudonyms(name)):
                erasing = self.twins.calls.withdraw(each, partition=0, next_offset=0, at=self.clock.now)
                self.loop.run_until_complete(erasing)

    # What must hold.

    def pseudonyms(self, name: str) -> set[str]:
        return {pseudonym(epoch, name) for epoch in EPOCHS}

    def check_nothing_is_passed(self) -> None:
        """No record below the durable offset is still needed: a checkpoint has it, or its call is over or unusable."""
        for name, call in self.calls.items():
            states = [
                self.twins.tables.states[each] for each in self.pseudonyms(name) if each in self.twins.tables.states
            ]
            opened = Story.of(call.told).opened
            for offset, _ in call.told:
                if opened is not None and opened <= offset < (self.durable or 0):
                    assert any(state.stored.closed or state.stored.next_offset > offset for state in states), offset

    @invariant()
    def a_checkpoint_only_moves_on(self) -> None:
        taken["steps"] += 1
        for call, state in self.twins.tables.states.items():
            now = (state.stored.next_offset, state.stored.closed, state.gone)
            before = self.seen.get(call, now)
            assert all(old <= new for old, new in zip(before, now, strict=True)), (before, now)
            self.seen[call] = now

    @invariant()
    def a_window_is_always_the_same(self) -> None:
        self.twins.look()

    def teardown(self) -> None:
        try:
            self.restart()
            self.check_outcome()
        finally:
            taken["records"] += len(self.log)
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()

    def check_outcome(self) -> None:
        calm = Worker(Twins(), self.clock, self.log)
        while calm.position < len(self.log):
            self.run(calm, 1)
        while self.worker.position < len(self.log):
            self.run(self.worker, 7)
        self.clock.now += timedelta(minutes=16)
        for worker in (calm, self.worker):
            self.run(worker, 1)
            worker.twins.look()
        taken["windows"] += len(calm.twins.windows)
        for name, call in self.calls.items():
            self.check_call(name, Story.of(call.told), calm.twins)
        spared = {each for name in self.erased for each in self.pseudonyms(name)} | self.withdrawn()
        assert rest(self.twins.letters, spared) == rest(calm.twins.letters, spared)

    def withdrawn(self) -> set[str]:
        told = {name: Story.of(call.told) for name, call in self.calls.items()}
        return {each for name, story in told.items() if story.withdrawn is not None for each in self.pseudonyms(name)}

    def check_call(self, name: str, story: Story, calm: Twins) -> None:
        own = self.pseudonyms(name)
        windows, expected = windows_of(self.twins, own), windows_of(calm, own)
        for _, start_ms, end_ms, _, _ in expected.values():
            assert story.may_judge(start_ms, end_ms)
        rows = [self.twins.tables.calls[each] for each in own if each in self.twins.tables.calls]
        if name in self.erased or story.withdrawn is not None:
            assert windows.items() <= expected.items()
            assert rows == []
            return
        assert windows == expected
        assert rows == [calm.tables.calls[each] for each in own if each in calm.tables.calls]
        assert len(rows) == (story.opened is not None)
        for row in rows:
            assert row.ended_at is not None
            assert {sum(fates.values()) for fates in row.fates.values()} == {story.published_ms}


def windows_of(twins: Twins, calls: set[str]) -> dict[str, tuple[str, int, int, bytes, datetime]]:
    return {id_: window for id_, window in twins.windows.items() if window[0] in calls}


def rest(letters: Iterable[tuple[int, str, str | None]], spared: set[str]) -> set[tuple[int, str, str | None]]:
    """The dead letters of calls that were neither withdrawn nor erased."""
    return {letter for letter in letters if letter[2] not in spared}


def test_whatever_happens_the_outcome_is_that_of_an_undisturbed_run(capsys: pytest.CaptureFixture[str]) -> None:
    options = settings(
        max_examples=50,
        stateful_step_count=STEPS_A_RUN,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    while taken["steps"] < STEPS:
        run_state_machine_as_test(Partition, settings=options)
    with capsys.disabled():
        told = ", ".join(f"{count} {what}" for what, count in taken.items())
        sys.stdout.write(f"\nmodel: {told}; 0 differences from an undisturbed run\n")
    assert taken["crashes"]
    assert taken["windows"]
