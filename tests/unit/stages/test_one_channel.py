"""A call with both parties on one channel, through the segment stage."""

import asyncio
from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.stages.bench import AT, STARTED, Bench, publish

from streams.domain.records import Audio, CallBody, CallRecord, Encoding, Ended, Gap, Role, Started
from streams.domain.roles import OneChannel
from streams.speech.decode import encode
from streams.speech.expecting import Expecting
from streams.stages.segment import Segment

MIXED = Started("demo", (Role.MIXED,), "es", notice=STARTED.notice, consents=STARTED.consents)
TALK = "aaaaaa--cccccccc--aaaaaa--cccccccc--aaaaaaaa--cccccccccc--aaaa--ccccccccc--"
VOICES = {"a": [1.0, 0.9], "c": [1.0, -0.9], "k": [0.9, -0.8]}  #: lines whose spectra fall and rise


class Told(Bench):
    """A bench whose use case says how who is who is told."""

    told: OneChannel | None = OneChannel(Role.AGENT)

    def start(self) -> Segment:
        stage = super().start()
        stage._use_cases = {"demo": Expecting(one_channel=self.told)}
        return stage


def mono(marks: str, *, chunk_ms: int = 500) -> list[CallRecord]:
    """Audio by the half second: a agent, c customer, k somebody much like the customer, - nobody."""
    rng, parts = np.random.default_rng(1), []
    for mark in marks:
        noise = rng.normal(0, 1, 4000)
        parts.append(3000 * np.convolve(noise, VOICES[mark], mode="same") if mark in VOICES else noise)
    pcm, size = np.concatenate(parts).astype(np.int16), chunk_ms * 8
    pieces = [pcm[np.newaxis, start : start + size] for start in range(0, len(pcm), size)]
    bodies: list[CallBody] = [MIXED, *(Audio(Encoding.L16, 8000, 1, encode(Encoding.L16, each)) for each in pieces)]
    return told([*bodies, Ended("completed")])


def told(bodies: Sequence[CallBody]) -> list[CallRecord]:
    records, media_ms = [], 0
    for sequence, body in enumerate(bodies):
        records.append(CallRecord("a", sequence, media_ms, AT, body))
        media_ms += body.duration_ms if isinstance(body, Audio | Gap) else 0
    return records


def within(bench: Bench, marks: str) -> set[str]:
    """Who speaks in the windows."""
    return {
        marks[ms // 500]
        for start, end, *_ in bench.windows().values()
        for ms in range(start, end, 100)
        if marks[ms // 500] != "-"
    }


def test_the_customers_windows_are_found_and_none_of_the_agents() -> None:
    bench = Told()
    bench.handle(publish(bench, mono(TALK)))
    assert within(bench, TALK) == {"c"}
    fates = bench.fates()["0 mixed"]
    assert fates["agent"] > 0
    assert sum(fates.values()) == len(TALK) * 500


def test_the_customer_speaks_first_where_the_use_case_says_so() -> None:
    bench = Told()
    bench.stage._use_cases = {"demo": Expecting(one_channel=OneChannel(Role.CUSTOMER))}
    bench.handle(publish(bench, mono(TALK)))
    assert within(bench, TALK) == {"a"}


def test_without_a_word_of_who_speaks_first_nothing_is_heard() -> None:
    bench = Bench()
    bench.stage._activity = None  # type: ignore[assignment]  # who hears, fails
    bench.handle(publish(bench, mono(TALK)))
    assert bench.fates()["0 mixed"] == {"unknown_role": len(TALK) * 500}


def test_an_announcement_is_nobodys_and_who_speaks_after_it_is_first() -> None:
    bench, marks = Told(), "kkkkkkkkkk--" + TALK
    bench.stage._use_cases = {"demo": Expecting(one_channel=OneChannel(Role.AGENT, after_ms=5500))}
    bench.handle(publish(bench, mono(marks)))
    assert within(bench, marks) == {"c"}


def test_voices_that_are_alike_are_nobodys() -> None:
    bench, marks = Told(), TALK.replace("a", "k")
    bench.handle(publish(bench, mono(marks)))
    assert bench.windows() == {}
    assert bench.fates()["0 mixed"].keys() == {"unknown_role", "silence"}


def test_a_gap_and_late_chunks_cost_what_was_not_yet_told_and_the_voices_stay_known() -> None:
    bench, records = Told(), mono(TALK)
    lost = 8 * 7  # while the customer speaks
    bodies = [record.body for record in records]
    bench.handle(publish(bench, told([*bodies[:lost], Gap(500, "lost"), *bodies[lost + 1 :]])))
    late = CallRecord("a", len(records), 0, AT, bodies[1])
    bench.handle(publish(bench, [late]))
    fates = bench.fates()["0 mixed"]
    assert fates["gap"] == 500
    assert within(bench, TALK) == {"c"}
    assert any(start > lost * 500 for start, *_ in bench.windows().values())


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 75), max_size=3), st.integers(1, 30))
def test_whatever_crashes_when_the_windows_and_fates_are_those_of_an_undisturbed_run(
    crashes: list[int], batch: int
) -> None:
    calm, rough = Told(), Told()
    calm.handle(publish(calm, mono(TALK)))
    kept = publish(rough, mono(TALK))
    done = 0
    while done < len(kept):
        end = min([done + batch, *(crash for crash in crashes if crash > done), len(kept)])
        rough.committed = rough.handle(kept[done:end]) or 0
        done = end
        if done in crashes:
            crashes.remove(done)
            rough.crash()
            done = rough.committed
    assert rough.windows() == calm.windows()
    assert rough.fates() == calm.fates()
    asyncio.set_event_loop(None)
