"""The segment stage over in-memory twins: a voice-activity model that hears loudness stands in for Silero."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from streams.adapters.memory_calls import MemoryCalls, MemoryTables
from streams.adapters.memory_topics import Kept, MemoryDeadLetters, MemoryTopics
from streams.domain.deadletters import Reason
from streams.domain.privacy import Epoch, pseudonym
from streams.domain.records import Audio, CallBody, CallRecord, Consent, Encoding, Ended, Notice, Purpose, Role, Started
from streams.kafka.cloudevents import decode_window, encode_call
from streams.metrics import Metrics
from streams.ports import Batch, Fetched
from streams.speech.activity import Activity, Stretch, VoiceActivity, frame_samples
from streams.speech.decode import encode
from streams.stages.segment import Segment
from streams.topics import CALLS, WINDOWS

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
EPOCH = Epoch("e1", b"k" * 32, AT - timedelta(days=1))
NOTICE = Notice("ivr-7", "3", "es", AT)
GRANT = Consent(Purpose.ALERTING, granted=True, basis="consent", given_at=AT)
STARTED = Started("demo", (Role.AGENT, Role.CUSTOMER), "es", notice=NOTICE, consents=(GRANT,))


class Loudness(VoiceActivity):
    """Speech is what is loud; the state counts frames, so that a lost or doubled frame shows in every later one."""

    def __init__(self) -> None:
        """No model file."""

    def hear(self, rate: int, stretches: Sequence[Stretch]) -> list[Activity]:
        return [self._hear(stretch, frame_samples(rate)) for stretch in stretches]

    def _hear(self, stretch: Stretch, size: int) -> Activity:
        frames = stretch.frames.reshape(-1, size).astype(np.int64)
        energy = [int(value) for value in (frames * frames).sum(axis=1)]
        seen = int.from_bytes(stretch.state[:8], "big") + int(stretch.context.astype(np.int64).sum()) % 7 * bool(energy)
        probability = tuple(float(value > size * 10_000) for value in energy)
        return Activity(probability, tuple(energy), (seen + len(energy)).to_bytes(8, "big"))


class Bench:
    """One partition of calls, the twins, and a stage that can crash."""

    def __init__(self) -> None:
        self.now = AT
        self.topics = MemoryTopics(partitions=1, now=lambda: self.now)
        self.tables = MemoryTables()
        self.letters = MemoryDeadLetters()
        self.committed = 0
        self.stage = self.start()

    def start(self) -> Segment:
        return Segment(
            epochs=(EPOCH,),
            use_cases={"demo"},
            partitions=lambda: 1,
            store=MemoryCalls(self.tables),
            sender=self.topics,
            letters=self.letters,
            activity=Loudness(),
            metrics=Metrics(CollectorRegistry()),
            clock=lambda: self.now,
            checkpoint_interval_s=1e-9,
        )

    def crash(self) -> None:
        self.stage = self.start()

    def handle(self, records: Sequence[Fetched], *, caught_up: bool = False) -> int | None:
        batch = Batch(CALLS.name, 0, tuple(records), caught_up)
        return asyncio.run(self.stage.handle(batch))

    def windows(self) -> dict[str, tuple[int, int, bytes, datetime]]:
        found: dict[str, tuple[int, int, bytes, datetime]] = {}
        for record in self.topics.read(WINDOWS.name):
            window = decode_window(record)
            content = (window.start_ms, window.end_ms, window.data, window.spoken_at)
            assert found.setdefault(window.id, content) == content
        return found

    def fates(self, call_id: str = "a") -> dict[str, dict[str, int]]:
        fates = self.tables.calls[pseudonym(EPOCH, call_id)].fates
        return {channel: dict(ms) for channel, ms in fates.items()}


def chunks(marks: str, *, chunk_ms: int, seed: int = 0) -> list[Audio]:
    """Audio by the half second: a agent, c customer, b both, - nobody."""
    rng = np.random.default_rng(seed)
    speech = rng.integers(-8000, 8000, (2, len(marks) * 4000)).astype(np.int16)
    for channel, loud in enumerate(("ab", "cb")):
        quiet = np.repeat([mark not in loud for mark in marks], 4000)
        speech[channel, quiet] //= 1000
    size = chunk_ms * 8
    return [
        Audio(Encoding.L16, 8000, 2, encode(Encoding.L16, speech[:, start : start + size]))
        for start in range(0, speech.shape[1], size)
    ]


def call(marks: str, *, call_id: str = "a", chunk_ms: int = 200, started: Started = STARTED) -> list[CallRecord]:
    bodies: list[CallBody] = [started, *chunks(marks, chunk_ms=chunk_ms, seed=len(call_id)), Ended("completed")]
    records, media_ms = [], 0
    for sequence, body in enumerate(bodies):
        records.append(CallRecord(call_id, sequence, media_ms, AT, body))
        media_ms += body.duration_ms if isinstance(body, Audio) else 0
    return records


def publish(bench: Bench, records: Sequence[CallRecord], step_ms: int = 200) -> list[Kept]:
    kept = []
    for record in records:
        kept.append(bench.topics.append(encode_call(record)))
        bench.now += timedelta(milliseconds=step_ms)
    return kept


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


def test_without_consent_nothing_is_heard_and_everything_is_counted() -> None:
    bench = Bench()
    bench.handle(publish(bench, call(TALK, started=replace(STARTED, consents=()))))
    assert bench.windows() == {}
    assert bench.fates()["1 customer"] == {"no_consent": len(TALK) * 500}


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
