"""Both channels of a call on timelines: one character a frame of 32 ms; S speaks."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from streams.domain import hearing as fold
from streams.domain.hearing import Cut, Hearing
from streams.domain.overlap import FRAME_MS, Frame
from streams.domain.records import Role
from streams.domain.windows import Fate, Span

ROLES = (Role.AGENT, Role.CUSTOMER)


def hear(*rows: str, roles: Sequence[Role] = ROLES, rest_ms: int = 0) -> tuple[Hearing, list[Cut]]:
    hearing = fold.resume(fold.silent(tuple(roles)), at_ms=0, consent_seq=3)
    cuts: list[Cut] = []
    for index, marks in enumerate(zip(*rows, strict=True)):
        start_ms = index * FRAME_MS
        probability = tuple(float(mark == "S") for mark in marks)
        hearing, more = fold.step(hearing, Frame(start_ms, start_ms + FRAME_MS, probability, (1,) * len(rows)))
        cuts += more
    hearing, more = fold.finish(hearing, len(rows[0]) * FRAME_MS + rest_ms)
    return hearing, [*cuts, *more]


def test_the_customers_turn_is_a_window_under_the_record_that_allowed_it() -> None:
    _, cuts = hear("-" * 100, "-" * 10 + "S" * 90)
    assert cuts == [Cut(channel=1, start_ms=320, end_ms=3200, consent_seq=3, closing_ms=0)]


def test_it_is_told_how_long_the_rule_waited_after_a_long_turn_that_ended_and_after_one_that_was_cut() -> None:
    _, [ended] = hear("-" * 320, "S" * 280 + "-" * 40)
    assert (ended.end_ms, ended.closing_ms) == (8_960, 512)
    _, [cut, _] = hear("-" * 600, "S" * 600)
    assert cut.end_ms + cut.closing_ms == 12_000  # due then, and long since followed by 2.5 s


def test_the_agents_turn_is_never_a_window() -> None:
    hearing, cuts = hear("S" * 300, "-" * 300)
    assert cuts == []
    assert hearing.fates[0] == {Fate.AGENT: 9600}


def test_what_lies_on_a_channel_of_nobody_known_is_never_a_window() -> None:
    hearing, cuts = hear("S" * 300, "-" * 300, roles=(Role.MIXED, Role.CUSTOMER))
    assert cuts == []
    assert hearing.fates[0] == {Fate.UNKNOWN_ROLE: 9600}


def test_talking_over_the_customer_takes_the_overlap_out_of_the_window() -> None:
    hearing, cuts = hear("-" * 90 + "S" * 20 + "-" * 90, "S" * 200)
    assert [(cut.start_ms, cut.end_ms) for cut in cuts] == [(0, 2880), (3520, 6400)]
    assert hearing.fates[1][Fate.OVERLAP] == 640


def test_the_rest_of_under_a_frame_belongs_to_the_turn() -> None:
    hearing, cuts = hear("-" * 100, "S" * 100, rest_ms=20)
    assert cuts[0].end_ms == 3220
    assert sum(hearing.fates[0].values()) == sum(hearing.fates[1].values()) == 3220


def test_after_a_run_nothing_of_it_is_left_open() -> None:
    hearing, _ = hear("-" * 50, "S" * 50)
    assert fold.needs_from(hearing) is None
    assert hearing.consent_seq is None
    assert fold.finish(hearing, 99_999) == (hearing, ())


marks = st.lists(st.tuples(st.sampled_from("S-"), st.sampled_from("S-"), st.integers(1, 60)), min_size=1, max_size=20)


@given(marks, st.integers(0, 31), st.permutations(ROLES))
def test_every_millisecond_of_every_channel_has_one_fate(
    runs: list[tuple[str, str, int]], rest_ms: int, roles: list[Role]
) -> None:
    rows = ["".join(run[channel] * run[2] for run in runs) for channel in (0, 1)]  # type: ignore[operator]
    hearing, cuts = hear(*rows, roles=roles, rest_ms=rest_ms)
    duration = len(rows[0]) * FRAME_MS + rest_ms
    assert [sum(fates.values()) for fates in hearing.fates] == [duration, duration]
    assert sum(cut.end_ms - cut.start_ms for cut in cuts) == hearing.fates[roles.index(Role.CUSTOMER)].get(
        Fate.WINDOW, 0
    )
    assert {cut.channel for cut in cuts} <= {roles.index(Role.CUSTOMER)}


@given(marks)
def test_audio_from_where_it_is_needed_covers_every_later_window(runs: list[tuple[str, str, int]]) -> None:
    hearing = fold.resume(fold.silent(ROLES), at_ms=0, consent_seq=0)
    needed: list[tuple[int, int]] = []
    for agent, customer, count in runs:
        for _ in range(count):
            frame = Frame(
                hearing.heard_ms, hearing.heard_ms + FRAME_MS, (float(agent == "S"), float(customer == "S")), (1, 1)
            )
            before = fold.needs_from(hearing)
            hearing, cuts = fold.step(hearing, frame)
            for cut in cuts:
                assert before is not None
                assert before <= cut.start_ms
            needed.append((hearing.heard_ms, before or hearing.heard_ms))
    assert all(heard - start <= 20_000 for heard, start in needed)


@given(st.lists(st.tuples(st.sampled_from("-S"), st.sampled_from("-S")), max_size=300), st.data())
def test_frames_taken_in_together_are_as_frames_taken_in_one_by_one(
    marks: list[tuple[str, str]], data: st.DataObject
) -> None:
    start = fold.resume(fold.silent(ROLES), at_ms=0, consent_seq=3)
    frames = [
        Frame(n * FRAME_MS, (n + 1) * FRAME_MS, tuple(float(mark == "S") for mark in pair), (n % 7, n % 5))
        for n, pair in enumerate(marks)
    ]
    single, cuts = start, []
    for frame in frames:
        single, more = fold.step(single, frame)
        cuts += more
    split = data.draw(st.integers(0, len(frames)))
    first, early = fold.steps(start, frames[:split])
    second, late = fold.steps(first, frames[split:])
    assert (second, [*early, *late]) == (single, cuts)


@given(marks, st.lists(st.integers(0, 1200), max_size=3), st.permutations([*ROLES, Role.MIXED]))
def test_lanes_say_where_each_fate_lies_and_change_nothing(
    runs: list[tuple[str, str, int]], splits: list[int], roles: list[Role]
) -> None:
    start = fold.resume(fold.silent(tuple(roles[:2])), at_ms=0, consent_seq=3)
    spoken = [run[:2] for run in runs for _ in range(run[2])]
    frames = [
        Frame(n * FRAME_MS, (n + 1) * FRAME_MS, tuple(float(mark == "S") for mark in pair), (1, 1))
        for n, pair in enumerate(spoken)
    ]
    end_ms, lanes = len(frames) * FRAME_MS, (list[Span](), list[Span]())
    hearing, cuts = start, []
    for first, last in pairwise([0, *sorted(splits), len(frames)]):
        hearing, more = fold.steps(hearing, frames[first:last], lanes)
        cuts += more
    hearing, more = fold.finish(hearing, end_ms, lanes)
    plain, early = fold.steps(start, frames)
    plain, late = fold.finish(plain, end_ms)
    assert (hearing, [*cuts, *more]) == (plain, [*early, *late])
    for channel, lane in enumerate(lanes):
        assert [span.start_ms for span in lane] == [0, *(span.end_ms for span in lane)][:-1]
        assert lane[-1].end_ms == end_ms
        sums = Counter[Fate]()
        for span in lane:
            sums[span.fate] += span.end_ms - span.start_ms
        assert sums == Counter(hearing.fates[channel])
