"""Two people on one channel, on timelines: one character a frame of 32 ms.

C customer, A agent, ? like neither, M an announcement, - nobody speaks.
"""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain import onechannel
from streams.domain.onechannel import Mono
from streams.domain.overlap import FRAME_MS, Heard, Kind
from streams.domain.pieces import LATENCY_MS
from streams.domain.records import Role
from streams.domain.roles import Likeness, OneChannel
from streams.domain.windows import Fate, Span

KINDS = {"-": Kind.SILENCE, "M": Kind.NOT_SPEECH}
FIRST = {"A": 9.0, "C": -9.0}
START = Mono(OneChannel(Role.AGENT))


def frames(timeline: str, from_frame: int = 0) -> list[Heard]:
    kinds = [KINDS.get(mark, Kind.SPEECH) for mark in timeline]
    return [
        Heard(index * FRAME_MS, (index + 1) * FRAME_MS, (kind,), (1,)) for index, kind in enumerate(kinds, from_frame)
    ]


def likeness(spoken: str) -> Likeness | None:
    """A piece is as much the agent's or the customer's as there is of them in it."""
    if len(spoken) < 12:
        return None
    marks = [FIRST.get(mark, 0.0) for mark in spoken if mark != "-"]
    first = sum(marks) / len(marks)
    return Likeness(first, first / 9, 1.0, separation=60, opening=1, pieces=9)


def tell(mono: Mono, timeline: str, whole: str, from_frame: int = 0) -> tuple[Mono, list[Span]]:
    mono = onechannel.hear(mono, frames(timeline, from_frame))
    likenesses = [likeness(whole[piece.start_ms // FRAME_MS : piece.end_ms // FRAME_MS]) for piece in mono.cut]
    mono, spans = onechannel.tell(mono, mono.memory, likenesses)
    return mono, list(spans)


def fold(timeline: str, cuts: Sequence[int] = ()) -> list[Span]:
    mono, spans = START, list[Span]()
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(timeline)], strict=True):
        mono, more = tell(mono, timeline[start:end], timeline, start)
        spans += more
    _, more = onechannel.finish(mono)
    return [*spans, *more]


def windows(timeline: str) -> list[tuple[int, int]]:
    return [(span.start_ms, span.end_ms) for span in fold(timeline) if span.fate is Fate.WINDOW]


def times(timeline: str) -> dict[Fate, int]:
    found: dict[Fate, int] = {}
    for span in fold(timeline):
        found[span.fate] = found.get(span.fate, 0) + span.end_ms - span.start_ms
    return found


def test_the_customers_turn_is_a_window_and_the_agents_is_not() -> None:
    assert windows("A" * 200 + "-" * 20 + "C" * 120 + "-" * 20) == [(220 * FRAME_MS, 340 * FRAME_MS)]
    assert times("A" * 200 + "-" * 20)[Fate.AGENT] == 200 * FRAME_MS


def test_where_the_agent_falls_in_without_a_pause_the_pieces_at_the_change_are_nobodys() -> None:
    found = times("C" * 160 + "A" * 120 + "-" * 20)
    assert found[Fate.UNKNOWN_ROLE] == 40 * FRAME_MS
    assert found[Fate.WINDOW] == 120 * FRAME_MS


def test_the_agents_word_between_two_pauses_ends_the_customers_turn_and_is_nobodys() -> None:
    found = fold("C" * 120 + "-" * 11 + "A" * 8 + "-" * 11 + "C" * 120 + "-" * 20)
    assert [span.fate for span in found if span.fate is not Fate.SILENCE] == [
        Fate.WINDOW,
        *[Fate.UNKNOWN_ROLE] * 8,
        Fate.WINDOW,
    ]


def test_a_window_that_is_not_the_customers_on_average_is_nobodys() -> None:
    mono = onechannel.hear(START, frames("C" * 120 + "-" * 20))
    doubtful = Likeness(-4.0, -1.0, 1.0, separation=60, opening=1, pieces=9)  # enough for a piece
    _, spans = onechannel.tell(mono, mono.memory, [doubtful] * len(mono.cut))
    assert {span.fate for span in spans if span.start_ms == 0} == {Fate.UNKNOWN_ROLE}


def test_speech_that_a_gap_breaks_off_before_it_is_told_is_nobodys() -> None:
    assert times("C" * 60)[Fate.UNKNOWN_ROLE] == 60 * FRAME_MS


@pytest.mark.parametrize("frames_of_agent", [8, 20, 39])
def test_of_the_agents_words_at_a_break_none_is_taken_for_the_rest_of_the_customers(frames_of_agent: int) -> None:
    said = "A" * 120 + "-" * 20 + "C" * 120
    assert windows(said + "A" * frames_of_agent) == [(140 * FRAME_MS, 220 * FRAME_MS)]


def test_a_word_after_a_pause_that_came_with_the_pause_keeps_nothing_before_it_undecided() -> None:
    timeline = "A" * 182 + "-" * 10
    assert fold(timeline + "A") == fold(timeline + "A", [len(timeline)])
    assert times(timeline + "A")[Fate.AGENT] == 182 * FRAME_MS


def test_a_third_voice_is_nobodys() -> None:
    assert windows("A" * 120 + "-" * 20 + "?" * 200 + "-" * 20) == []


def test_an_announcement_is_no_speech_and_what_leads_into_it_is_nobodys() -> None:
    found = times("C" * 120 + "-" * 20 + "C" * 30 + "M" * 90 + "-" * 20)  # known a second after it began
    assert found == {
        Fate.WINDOW: 120 * FRAME_MS,
        Fate.UNKNOWN_ROLE: 30 * FRAME_MS,
        Fate.NOT_SPEECH: 90 * FRAME_MS,
        Fate.SILENCE: 40 * FRAME_MS,
    }


def test_an_announcement_that_falls_in_ends_the_customers_turn_before_it_begins() -> None:
    assert windows("A" * 120 + "-" * 20 + "C" * 160 + "M" * 90 + "C" * 20) == [(140 * FRAME_MS, 260 * FRAME_MS)]


timelines = st.lists(st.tuples(st.sampled_from("AC-?M"), st.integers(1, 90)), min_size=1, max_size=12).map(
    lambda runs: "".join(mark * count for mark, count in runs)
)


@settings(deadline=None, max_examples=30)
@given(timelines, st.lists(st.integers(0, 600), max_size=4))
def test_every_millisecond_has_one_fate_however_the_frames_are_taken_in(timeline: str, cuts: list[int]) -> None:
    spans = fold(timeline)
    assert fold(timeline, [min(cut, len(timeline)) for cut in cuts]) == spans
    ends = [0, *(span.end_ms for span in spans)]
    assert [span.start_ms for span in spans] == ends[:-1]
    assert ends[-1] == len(timeline) * FRAME_MS


@settings(deadline=None, max_examples=30)
@given(timelines)
def test_nothing_waits_for_longer_than_the_latency(timeline: str) -> None:
    mono, heard_ms = START, 0
    for index, mark in enumerate(timeline):
        mono, _ = tell(mono, mark, timeline, index)
        heard_ms += FRAME_MS
        assert not mono.waiting or heard_ms - mono.waiting[0].start_ms <= LATENCY_MS + FRAME_MS


@settings(deadline=None, max_examples=30)
@given(timelines)
def test_a_window_holds_none_of_the_agents_pieces(timeline: str) -> None:
    for span in fold(timeline):
        if span.fate is Fate.WINDOW:
            spoken = timeline[span.start_ms // FRAME_MS : span.end_ms // FRAME_MS].replace("-", "")
            assert "A" * 40 not in spoken
