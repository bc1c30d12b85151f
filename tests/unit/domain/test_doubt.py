"""Whose channel is whose, on timelines: one character a frame of 32 ms; S speaks, L is the other's voice."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain import hearing as fold
from streams.domain.doubt import FIRST_MS
from streams.domain.hearing import Cut, Hearing
from streams.domain.overlap import FRAME_MS, Frame, Kind
from streams.domain.records import Role
from streams.domain.windows import Fate

ROLES = (Role.AGENT, Role.CUSTOMER)
FIRST = FIRST_MS // FRAME_MS


def hear(
    agent: str, customer: str, *, first: Role | None = None, energy: tuple[int, int] = (900, 300)
) -> tuple[Hearing, list[Cut]]:
    hearing = fold.resume(fold.expecting(fold.silent(ROLES), first), at_ms=0, consent_seq=3)
    cuts: list[Cut] = []
    for index, marks in enumerate(zip(agent, customer, strict=True)):
        instead = tuple(Kind.LEAK if mark == "L" else None for mark in marks)
        probability = tuple(float(mark != "-") for mark in marks)
        start_ms = index * FRAME_MS
        refused = hearing.doubt.refused
        hearing, more = fold.step(hearing, Frame(start_ms, start_ms + FRAME_MS, probability, energy, instead))
        assert not (refused and more)
        cuts += more
    hearing, more = fold.finish(hearing, len(agent) * FRAME_MS)
    return hearing, [*cuts, *more]


def test_a_call_on_which_somebody_else_speaks_first_than_its_use_case_says_is_not_scored() -> None:
    agent, customer = "-" * 110 + "S" * 100, "-" * 10 + "S" * 90 + "-" * 110
    hearing, cuts = hear(agent, customer, first=Role.AGENT)
    assert cuts == []
    assert hearing.fates[1][Fate.UNKNOWN_ROLE] == 200 * FRAME_MS
    assert Fate.AGENT not in hearing.fates[0]
    assert hear(agent, customer, first=Role.CUSTOMER)[1] == hear(agent, customer)[1] != []


def test_a_greeting_shorter_than_eight_tenths_of_a_second_makes_nobody_the_first() -> None:
    agent, customer = "-" * 30 + "S" * 60 + "-" * 110, "S" * (FIRST - 1) + "-" * (75 - FIRST) + "S" * 126
    assert hear(agent, customer, first=Role.AGENT)[1] != []


def test_what_leaks_makes_nobody_the_first() -> None:
    agent, customer = "S" * 60 + "-" * 110, "L" * 70 + "S" * 100
    hearing, cuts = hear(agent, customer, first=Role.AGENT)
    assert cuts != []
    assert hearing.fates[1][Fate.LEAK] > 0


def test_once_in_doubt_a_call_stays_so_also_after_a_break() -> None:
    hearing, _ = hear("-" * 100, "S" * 100, first=Role.AGENT)
    hearing = fold.resume(hearing, at_ms=9_000, consent_seq=4)
    for index in range(100):
        start_ms = 9_000 + index * FRAME_MS
        hearing, cuts = fold.step(hearing, Frame(start_ms, start_ms + FRAME_MS, (0.0, 1.0), (1, 1)))
        assert cuts == ()


def test_two_channels_that_are_one_are_not_scored() -> None:
    same = "S" * 150 + "--" * 10 + "S" * 150
    hearing, cuts = hear(same, same, energy=(1000, 990))
    assert cuts == []
    assert hearing.fates[1][Fate.UNKNOWN_ROLE] > 100 * FRAME_MS
    assert Fate.UNKNOWN_ROLE not in hear(same, same)[0].fates[1]


@pytest.mark.parametrize("first", [None, *ROLES])
@given(runs=st.lists(st.tuples(st.sampled_from("S-L"), st.sampled_from("S-L"), st.integers(1, 60)), max_size=12))
@settings(deadline=None)
def test_nothing_is_scored_once_a_call_is_in_doubt_and_every_millisecond_keeps_a_fate(
    first: Role | None, runs: list[tuple[str, str, int]]
) -> None:
    agent, customer = ("".join(run[channel] * run[2] for run in runs) for channel in (0, 1))  # type: ignore[operator]
    hearing, _ = hear(agent, customer, first=first, energy=(100, 100))
    assert [sum(fates.values()) for fates in hearing.fates] == [len(agent) * FRAME_MS] * 2
