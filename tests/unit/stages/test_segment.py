"""The segment stage over in-memory twins."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.stages.bench import AT, EPOCH, GRANT, STARTED, Bench, Loudness, call, publish

from streams.adapters.memory_topics import MemoryDeadLetters
from streams.domain.consent import Standing
from streams.domain.deadletters import Reason
from streams.domain.privacy import pseudonym
from streams.domain.records import CallRecord, Role
from streams.ports import Batch
from streams.speech.activity import Activity, Stretch
from streams.topics import CALLS

TALK = "a" * 6 + "-" + "c" * 12 + "--" + "b" * 2 + "c" * 30 + "-" + "a" * 4 + "cccccccc" + "-"


def test_the_customers_turns_become_windows_and_every_millisecond_has_a_fate() -> None:
    bench = Bench()
    bench.handle(publish(bench, call(TALK)))
    lengths = [end - start for start, end, _, _ in sorted(bench.windows().values())]
    assert len(lengths) >= 3
    assert all(2_500 <= length < 20_000 for length in lengths)
    duration = len(TALK) * 500
    assert {channel: sum(ms.values()) for channel, ms in bench.fates().items()} == {
        "0 agent": duration,
        "1 customer": duration,
    }
    assert sum(lengths) == bench.fates()["1 customer"]["window"]
    assert "window" not in bench.fates()["0 agent"]


def test_no_audio_is_heard_before_the_call_is_written() -> None:
    bench = Bench()
    bench.handle(publish(bench, call(TALK)[:3]))
    assert bench.tables.calls[pseudonym(EPOCH, "a")].consent_seq == 0


def test_the_event_loop_goes_on_while_audio_is_heard() -> None:
    hearing, answered = threading.Event(), threading.Event()

    class Waiting(Loudness):
        """Hears nothing before the event loop has answered."""

        def hear(self, rate: int, stretches: Sequence[Stretch]) -> list[Activity]:
            hearing.set()
            assert answered.wait(10), "the event loop stands still while audio is heard"
            return super().hear(rate, stretches)

    async def answer() -> None:
        while not hearing.is_set():
            await asyncio.sleep(0.001)
        answered.set()

    async def both() -> None:
        await asyncio.gather(bench.stage.handle(Batch(CALLS.name, 0, tuple(records), None)), answer())

    bench = Bench()
    bench.stage._activity = Waiting()
    records = publish(bench, call(TALK))
    asyncio.run(both())
    assert bench.windows()


def test_without_consent_nothing_is_heard_and_everything_is_counted() -> None:
    bench = Bench()
    bench.handle(publish(bench, call(TALK, started=replace(STARTED, consents=()))))
    assert bench.windows() == {}
    assert bench.fates()["1 customer"] == {"no_consent": len(TALK) * 500}


@pytest.mark.parametrize("beside", [0, 1])
def test_a_call_declared_mixed_on_one_channel_is_counted_and_nothing_of_it_is_scored(beside: int) -> None:
    bench = Bench()
    channels = (Role.MIXED, Role.CUSTOMER) if beside else (Role.CUSTOMER, Role.MIXED)
    bench.stage._activity = None  # type: ignore[assignment]  # who hears, fails
    bench.handle(publish(bench, call(TALK, started=replace(STARTED, channels=channels))))
    assert bench.windows() == {}
    assert list(bench.fates().values()) == [{"unknown_role": len(TALK) * 500}] * 2
    assert bench.letters.letters == []


def test_a_withdrawal_deletes_the_call_and_later_records_open_nothing() -> None:
    bench = Bench()
    records = call(TALK)
    withdrawn = replace(records[30], body=replace(GRANT, granted=False))
    granted = replace(records[31], body=GRANT)
    bench.handle(publish(bench, [*records[:30], withdrawn]))
    bench.handle(publish(bench, [granted, *records[32:]]))
    assert bench.windows() == {}
    assert bench.tables.calls == {}


def test_a_withdrawal_of_a_call_that_never_started_keeps_it_from_opening() -> None:
    bench = Bench()
    withdrawal = CallRecord("a", 5, 0, AT, replace(GRANT, granted=False))
    bench.handle(publish(bench, [withdrawal, *call(TALK)]))
    assert bench.windows() == {}
    assert [letter.reason for letter in bench.letters.letters] == [Reason.CALL_ID_REUSED]


def test_a_record_on_a_wrong_partition_is_a_dead_letter_but_a_withdrawal_counts() -> None:
    bench = Bench()
    bench.stage._count = lambda: 64
    misplaced = publish(bench, [*call(TALK)[:2], CallRecord("b", 1, 0, AT, replace(GRANT, granted=False))])
    bench.handle(misplaced)
    assert [letter.reason for letter in bench.letters.letters] == [Reason.WRONG_PARTITION] * 2
    assert pseudonym(EPOCH, "b") in bench.tables.states


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda records: records[1:], Reason.NOT_STARTED),
        (lambda records: [replace(records[0], body=replace(STARTED, use_case="no"))], Reason.UNKNOWN_USE_CASE),
        (lambda records: [*records, *records[:1]], Reason.CALL_ID_REUSED),
    ],
    ids=["not started", "unknown use case", "id reused"],
)
def test_what_cannot_be_used_is_a_dead_letter(change: object, reason: Reason) -> None:
    bench = Bench()
    for kept in publish(bench, change(call("cccccc-"))):  # type: ignore[operator]
        bench.handle([kept])
    assert {letter.reason for letter in bench.letters.letters} == {reason}
    assert {letter.call for letter in bench.letters.letters} == {pseudonym(EPOCH, "a")}


def test_a_malformed_record_does_not_stop_its_neighbours() -> None:
    bench = Bench()
    kept = publish(bench, call(TALK))
    kept[4].headers = ()
    bench.handle(kept)
    assert [letter.reason for letter in bench.letters.letters] == [Reason.MALFORMED]
    assert bench.windows()


def test_an_idle_call_finishes_its_turn_and_releases_the_commit() -> None:
    bench = Bench()
    kept = publish(bench, call("cccccccccc")[:-1])
    held = bench.handle(kept)
    assert held is not None
    assert held < len(kept)
    assert bench.windows() == {}
    bench.now += timedelta(seconds=36)
    assert bench.handle([], caught_up=True) == len(kept)
    assert len(bench.windows()) == 1


def test_an_idle_call_goes_on_where_it_stopped() -> None:
    bench = Bench()
    records = call("cccccccccc" + "cccccccccc")
    bench.handle(publish(bench, records[:26]))
    bench.now += timedelta(seconds=36)
    bench.handle([], caught_up=True)
    bench.handle(publish(bench, records[26:]))
    assert sorted((start, end) for start, end, _, _ in bench.windows().values()) == [(0, 5000), (5000, 10000)]


def test_a_call_whose_turn_already_ended_idle_still_ends_and_leaves_a_tombstone() -> None:
    bench = Bench()
    bench.handle(publish(bench, call(TALK)[:10]))
    bench.now += timedelta(seconds=36)
    bench.handle([], caught_up=True)
    bench.now += timedelta(minutes=16)
    bench.handle([], caught_up=True)
    assert bench.tables.calls[pseudonym(EPOCH, "a")].end_reason == "idle"
    assert bench.tables.states[pseudonym(EPOCH, "a")].stored.closed
    assert bench.stage._partitions[0].calls == {}


def test_time_that_passed_while_a_tick_waited_ends_no_call() -> None:
    bench = Bench()
    bench.handle(publish(bench, call("cccccccccc")[:-1]))
    seen_at = bench.now
    bench.now += timedelta(minutes=20)
    asyncio.run(bench.stage.handle(Batch(CALLS.name, 0, (), seen_at)))
    assert bench.windows() == {}
    assert bench.tables.calls[pseudonym(EPOCH, "a")].ended_at is None


def test_a_chunk_that_came_twice_before_a_crash_does_not_stop_the_restart() -> None:
    bench = Bench()
    records = call("cccccccccc")
    kept = publish(bench, [*records[:5], records[4], *records[5:]])
    held = bench.handle(kept[:7])
    bench.crash()
    bench.handle(kept[held:])
    assert [(start, end) for start, end, _, _ in bench.windows().values()] == [(0, 5000)]


def test_a_call_that_trickles_in_holds_the_commit_back_no_longer_than_a_turn_and_a_silence_may_last() -> None:
    bench = Bench()
    records = call("c" * 60, chunk_ms=200)
    kept = publish(bench, records, step_ms=20_000)
    for position, record in enumerate(kept):
        durable = bench.handle([record])
        assert durable is not None
        assert record.timestamp - kept[max(0, durable - 1)].timestamp <= 60_000
        assert durable > position - 3
    assert sum(bench.fates()["1 customer"].values()) == 30_000


def test_turns_that_trickle_in_are_cut_at_the_same_places_after_a_crash() -> None:
    calm, rough = Bench(), Bench()
    records = call("c" * 60, chunk_ms=500)
    for bench, crashes in ((calm, False), (rough, True)):
        kept, at = publish(bench, records, step_ms=4_000), 0
        while at < len(kept):
            held = bench.handle(kept[at : at + 5])
            at = min(at + 5, len(kept))
            if crashes and held is not None and at < len(kept):
                bench.crash()
                bench.handle(kept[held:at])
    assert len(calm.windows()) > 3
    assert rough.windows() == calm.windows()


def test_a_chunk_that_was_dropped_for_its_number_before_a_crash_is_dropped_after_it() -> None:
    """The publisher counts anew while its media clock runs on: the fold goes by the number, so must the restart."""
    bench = Bench()
    records = call("--cccccccccc")
    repeated = replace(records[1], media_ms=records[3].media_ms)
    kept = publish(bench, [*records[:3], repeated, *records[3:]])
    held = bench.handle(kept[:4])
    bench.crash()
    bench.handle(kept[held:])
    assert [(start, end) for start, end, _, _ in bench.windows().values()] == [(992, 6000)]


def test_after_a_crash_in_the_rest_of_a_long_turn_no_window_comes_back_without_its_audio() -> None:
    bench = Bench()
    kept = publish(bench, call("c" * 60))
    committed = 0
    for position in range(0, len(kept), 5):
        committed = bench.handle(kept[position : position + 5]) or committed
        bench.crash()
        bench.handle(kept[committed : position + 5])  # `windows` compares what comes twice
    assert sum(end - start for start, end, _, _ in bench.windows().values()) == 30_000


def test_what_is_lost_before_the_end_has_a_fate() -> None:
    bench = Bench()
    records = call("cccccccccc")
    bench.handle(publish(bench, [*records[:-2], records[-1]]))
    assert {channel: sum(ms.values()) for channel, ms in bench.fates().items()} == {"0 agent": 5000, "1 customer": 5000}


def test_calls_without_a_record_for_fifteen_minutes_end() -> None:
    bench = Bench()
    bench.handle(publish(bench, call(TALK)[:10]))
    bench.now += timedelta(minutes=16)
    bench.handle([], caught_up=True)
    assert bench.tables.calls[pseudonym(EPOCH, "a")].end_reason == "idle"


def test_a_revoked_partition_leaves_nothing_in_memory() -> None:
    bench = Bench()
    bench.handle(publish(bench, call(TALK)[:10]))
    bench.stage.lost({0})
    assert bench.stage._partitions == {}


schedules = st.lists(
    st.tuples(st.integers(1, 40), st.sampled_from(["on", "on", "crash before commit", "crash after commit", "revoke"])),
    min_size=1,
    max_size=12,
)
calls = st.lists(
    st.tuples(
        st.text("ac-", min_size=4, max_size=20).map(lambda marks: "".join(mark * 2 for mark in marks)),
        st.sampled_from([20, 37, 200, 480]),
    ),
    min_size=1,
    max_size=3,
)


@settings(deadline=None, max_examples=15)
@given(calls, schedules, st.randoms(use_true_random=False))
def test_whatever_crashes_when_the_windows_and_fates_are_those_of_an_undisturbed_run(
    drawn: list[tuple[str, int]], schedule: list[tuple[int, str]], order: object
) -> None:
    told = [call(marks, call_id="abc"[index], chunk_ms=ms) for index, (marks, ms) in enumerate(drawn)]
    mixed = []
    while any(told):
        mixed.append(order.choice([each for each in told if each]).pop(0))  # type: ignore[attr-defined]
    calm, rough = Bench(), Bench()
    calm.handle(publish(calm, mixed, step_ms=5))
    log = publish(rough, mixed, step_ms=5)
    position, turns = 0, 0
    while position < len(log):
        size, event = schedule[turns % len(schedule)] if turns < 200 else (len(log), "on")
        turns += 1
        durable = rough.handle(log[position : position + size])
        position += size
        if event != "crash before commit":
            rough.committed = rough.committed if durable is None else durable
        if event == "revoke":
            rough.stage.lost({0})
        elif event != "on":
            rough.crash()
        if event != "on":
            position = rough.committed
    assert rough.windows() == calm.windows()
    assert rough.letters.letters == calm.letters.letters == []
    for index in range(len(drawn)):
        assert rough.fates("abc"[index]) == calm.fates("abc"[index])


def test_a_window_sent_before_a_crash_is_not_sent_again_without_its_audio() -> None:
    bench = Bench()
    kept = publish(bench, call("c" * 60, chunk_ms=1000))
    bench.handle(kept[:15])
    (before,) = bench.windows().values()
    bench.crash()
    bench.handle(kept)
    assert before in bench.windows().values()
    assert len(bench.windows()) > 1


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_when_the_open_turn_began_is_stored_as_long_as_it_is_open(size: int) -> None:
    bench, name = Bench(), pseudonym(EPOCH, "a")
    kept = publish(bench, call("---cccccccc----"))
    stored = []
    for first in range(0, len(kept), size):
        bench.handle(kept[first : first + size])
        stored += [bench.tables.calls[name].turn_at] * len(kept[first : first + size])
    begins, ends = 1 + 1500 // 200, 1 + 6000 // 200
    assert set(stored[begins + size : ends - size]) == {AT + timedelta(milliseconds=200) * begins}
    assert set(stored[: begins - size] + stored[ends + size :]) <= {None}


def test_open_calls_are_shown_by_how_their_consent_stands() -> None:
    bench = Bench()
    unasked = replace(STARTED, consents=())
    going_on = [*call("---cccc")[:-1], *call("---cccc", call_id="b", started=unasked)[:-1]]
    bench.handle(publish(bench, going_on))
    stand = {each: bench.registry.get_sample_value("undertone_open_calls", {"consent": each}) for each in Standing}
    assert stand == {"in_force": 1, "missing": 1, "expired": 0, "refused": 0}


@pytest.mark.parametrize("size", [1, 2, 5, 20])
def test_the_open_turn_that_is_stored_is_the_one_of_the_metric_also_after_a_crash(size: int) -> None:
    bench, name, at, seen, crashes = Bench(), pseudonym(EPOCH, "a"), 0, 0, [40, 90, 140]
    kept = publish(bench, call(TALK))
    while at < len(kept):
        durable = bench.handle(kept[at : at + size])
        at += size
        turn_at = bench.tables.calls[name].turn_at
        age = (bench.now - turn_at).total_seconds() if turn_at else 0
        seen = max(seen, at)
        assert at < seen or age == bench.registry.get_sample_value("undertone_oldest_open_turn_seconds")
        if crashes and at >= crashes[0]:
            crashes.pop(0)
            bench.crash()
            at = durable or 0
    assert not crashes
    assert turn_at is None


def test_a_call_whose_turns_had_finished_ends_when_it_has_been_idle_for_long() -> None:
    bench = Bench()
    bench.handle(publish(bench, call(TALK)[:10]))
    for wait in (timedelta(seconds=36), timedelta(minutes=16)):
        bench.now += wait
        bench.handle([], caught_up=True)
    assert bench.tables.calls[pseudonym(EPOCH, "a")].end_reason == "idle"
    assert bench.stage._partitions[0].calls == {}


@pytest.mark.parametrize("together", [False, True])
def test_a_call_is_over_after_fifteen_minutes_of_the_logs_time_however_its_records_are_fetched(together: bool) -> None:
    bench = Bench()
    records = call(TALK)
    kept = publish(bench, records[:10])
    bench.now += timedelta(minutes=16)
    kept += publish(bench, [*call("cc", call_id="b"), *records[10:20]])
    for batch in [kept] if together else [[each] for each in kept]:
        bench.handle(batch)
    assert bench.tables.calls[pseudonym(EPOCH, "a")].end_reason == "idle"
    assert sum(bench.fates()["1 customer"].values()) == 9 * 200


@pytest.mark.parametrize("together", [False, True])
def test_a_withdrawal_right_after_the_end_deletes_the_call(together: bool) -> None:
    bench = Bench()
    records = call(TALK)
    last = records[-1]
    withdrawal = replace(last, sequence=last.sequence + 1, body=replace(GRANT, granted=False))
    kept = publish(bench, [*records, withdrawal])
    for batch in [kept] if together else [[each] for each in kept]:
        bench.handle(batch)
    assert bench.tables.calls == {}


def test_a_dead_letter_is_not_lost_to_a_crash_between_two_checkpoints() -> None:
    bench = Bench()
    records = call(TALK)
    again, renewed = replace(records[1], body=STARTED), replace(records[2], body=GRANT)
    kept = publish(bench, [records[0], again, renewed])
    bench.stage._letters.put = _crash  # type: ignore[method-assign]
    with pytest.raises(CrashError):
        bench.handle(kept)
    bench.crash()
    bench.letters = bench.stage._letters = MemoryDeadLetters()  # type: ignore[assignment]
    bench.handle(kept)
    assert [letter.reason for letter in bench.letters.letters] == [Reason.ALREADY_STARTED]


class CrashError(BaseException):
    """The process is gone."""


async def _crash(*_: object) -> None:
    raise CrashError


def test_a_call_that_a_fenced_off_worker_began_meanwhile_goes_on() -> None:
    bench, calm = Bench(), Bench()
    records = [*call("cc", call_id="b")[:2], *call(TALK)]
    calm.handle(publish(calm, records))
    kept = publish(bench, records)
    fenced = bench.stage
    bench.handle(kept[:1])
    bench.crash()
    bench.handle(kept[:2])
    current, bench.stage = bench.stage, fenced
    bench.handle(kept[1:4])
    bench.stage = current
    bench.handle(kept[2:])
    assert bench.fates() == calm.fates()
    assert bench.windows() == calm.windows() != {}
