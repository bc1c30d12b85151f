"""Over generated call histories, whatever crashes: nothing is decoded, judged or written that is not allowed."""

import asyncio

from hypothesis import given, settings
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
    Told,
    decoded,
    tell,
    work_off,
)

from streams.adapters.memory_calls import MemoryCalls
from streams.adapters.memory_outcomes import MemoryOutcomes
from streams.adapters.memory_tables import MemoryTables
from streams.domain.records import Ended, Purpose


class Run:
    """A history through the stream over the twins, checked after every turn."""

    def __init__(self, history: History, schedule: Schedule) -> None:
        self.told, self.tables, self.written = tell(history, "a"), MemoryTables(), set[str]()
        with decoded() as self.chunks:
            self.stream = Stream(
                self.told,
                MemoryCalls(self.tables),
                lambda clock: MemoryOutcomes(self.tables, RULES, SCHEMES, clock),
                self.chunks,
            )
            asyncio.run(work_off(self.stream, schedule, self.check))

    def check(self, handled: int) -> None:
        assert {self.told.audio[data] for data in self.chunks} <= self.told.allowed
        for label in self.tables.labels.values():
            call = self.tables.calls[label.call]
            assert label.consent_seq == call.consent_seq
            expires_at = call.consents[Purpose.ALERTING].expires_at
            assert label.window_id in self.written or expires_at is None or label.spoken_at < expires_at
        self.written |= self.tables.labels.keys()
        if self.told.withdrawn is not None and handled > self.told.withdrawn:
            self.check_gone()

    def check_gone(self) -> None:
        """Nothing but tombstone, audit row and what is to be retracted; nothing was heard or judged since."""
        tables, call = self.tables, self.stream.call
        assert tables.calls == tables.labels == tables.evolutions == tables.escalations == {}
        assert tables.states[call].gone
        assert tables.states[call].stored.state == b""
        assert all(queued.escalation.retracted for queued in tables.outbox)
        assert self.stream.used() == self.stream.calls.at_withdrawal


@settings(deadline=None, max_examples=250)
@given(HISTORIES, SCHEDULES)
def test_nothing_is_decoded_judged_or_written_without_notice_and_consent_in_force(
    history: History, schedule: Schedule
) -> None:
    run = Run(history, schedule)
    for window in run.stream.windows():
        heard = covering(run.told, window.start_ms, window.end_ms)
        assert heard
        assert heard <= run.told.allowed
        assert window.role == "customer"


def covering(told: Told, start_ms: int, end_ms: int) -> set[int]:
    """The audio records that a window has its samples from."""
    return {at for at in told.audio.values() if told.media[at][0] < end_ms and told.media[at][1] > start_ms}


def test_a_call_with_all_that_is_needed_is_decoded_judged_and_raised() -> None:
    run = Run((Start(says=(Say(),)), (Speak(14), Speak(16), Speak(16), Speak(16))), [(10, "judge record")])
    assert {run.told.audio[data] for data in run.chunks} == set(run.told.audio.values())
    assert len(run.tables.labels) >= 2
    assert run.tables.escalations
    assert run.tables.evolutions[run.stream.call].windows == len(run.tables.labels)


def test_a_grant_after_a_withdrawal_opens_nothing() -> None:
    run = Run((Start(says=(Say(),)), (Speak(8), Say(granted=False), Say(), Speak(16))), [(4, "judge record")])
    assert max(run.told.audio[data] for data in run.chunks) < (run.told.withdrawn or 0)
    assert run.tables.labels == {}


def test_a_withdrawal_right_after_the_end_deletes_what_is_not_yet_written_too() -> None:
    ended = (Start(says=(Say(),)), (Speak(16), Speak(16), Ended("completed"), Say(granted=False)))
    for size in (1, 33, 34, 35, 100):
        run = Run(ended, [(size, "judge record")])
        assert run.tables.calls == run.tables.labels == {}
