"""The window rule on timelines: one character a frame of 100 ms; S speech, - silence, O overlap, q quiet speech.

L is the other channel's voice, N a sound that is no speech.
"""

import re

from hypothesis import given
from hypothesis import strategies as st

from streams.domain import windows
from streams.domain.overlap import Kind
from streams.domain.windows import Fate, Span, Turn

KINDS = {"S": Kind.SPEECH, "q": Kind.SPEECH, "-": Kind.SILENCE, "O": Kind.OVERLAP}
KINDS |= {"L": Kind.LEAK, "N": Kind.NOT_SPEECH}


def fold(timeline: str, frame_ms: int = 100) -> list[Span]:
    turn: Turn | None = None
    spans: list[Span] = []
    for index, mark in enumerate(timeline):
        start_ms = index * frame_ms
        turn, more = windows.step(
            turn, KINDS[mark], start_ms=start_ms, end_ms=start_ms + frame_ms, energy=1 if mark == "q" else 100
        )
        spans += more
    return spans + list(windows.finish(turn))


def drawn(timeline: str) -> list[tuple[int, int, str]]:
    """Spans of equal fate joined, in frames."""
    joined: list[tuple[int, int, str]] = []
    for span in fold(timeline):
        start, end, fate = span.start_ms // 100, span.end_ms // 100, str(span.fate)
        if joined and joined[-1][2] == fate and fate != "window":
            start = joined.pop()[0]
        joined.append((start, end, fate))
    return joined


def test_a_turn_ends_after_half_a_second_of_silence() -> None:
    timeline = "--" + "S" * 30 + "-----" + "S" * 26
    assert drawn(timeline) == [(0, 2, "silence"), (2, 32, "window"), (32, 37, "silence"), (37, 63, "window")]


def test_a_shorter_pause_stays_inside_and_counts() -> None:
    assert drawn("S" * 15 + "----" + "S" * 15) == [(0, 34, "window")]


def test_a_turn_under_two_and_a_half_seconds_is_short() -> None:
    assert drawn("S" * 24 + "-----") == [(0, 24, "short"), (24, 29, "silence")]
    assert drawn("S" * 25 + "-----") == [(0, 25, "window"), (25, 30, "silence")]


def test_from_eight_seconds_the_first_pause_cuts() -> None:
    assert drawn("S" * 85 + "--" + "S" * 30) == [(0, 87, "window"), (87, 117, "window")]


def test_a_pause_before_eight_seconds_does_not_cut() -> None:
    assert drawn("S" * 70 + "--" + "S" * 30) == [(0, 102, "window")]


def test_a_cut_stands_only_once_enough_of_the_turn_follows() -> None:
    assert drawn("S" * 85 + "--" + "S" * 24 + "-----") == [(0, 111, "window"), (111, 116, "silence")]


def test_at_twelve_seconds_the_quietest_frame_since_eight_cuts() -> None:
    timeline = "S" * 60 + "q" + "S" * 29 + "q" + "S" * 40
    assert drawn(timeline) == [(0, 91, "window"), (91, 131, "window")]


def test_overlap_ends_the_turn_at_once() -> None:
    assert drawn("S" * 30 + "OOO" + "S" * 10) == [(0, 30, "window"), (30, 33, "overlap"), (33, 43, "short")]


def test_a_voice_that_leaks_in_ends_the_turn_after_three_tenths_of_a_second() -> None:
    assert drawn("S" * 30 + "LLL" + "S" * 26) == [(0, 30, "window"), (30, 33, "leak"), (33, 59, "window")]
    assert drawn("S" * 15 + "LL" + "S" * 15) == [(0, 32, "window")]


def test_a_sound_that_is_no_speech_is_no_turn_and_ends_one() -> None:
    assert drawn("N" * 60) == [(0, 60, "not_speech")]
    assert drawn("S" * 30 + "NNNNNN" + "-") == [(0, 30, "window"), (30, 36, "not_speech"), (36, 37, "silence")]


def test_silence_before_what_leaks_in_stays_silence() -> None:
    assert drawn("S" * 30 + "--LLL" + "L-") == [
        (0, 30, "window"),
        (30, 32, "silence"),
        (32, 36, "leak"),
        (36, 37, "silence"),
    ]


def test_the_last_words_of_a_call_are_not_lost() -> None:
    assert drawn("S" * 26) == [(0, 26, "window")]


timelines = st.lists(st.tuples(st.sampled_from("SSSq-OLN"), st.integers(1, 200)), min_size=1, max_size=20).map(
    lambda runs: "".join(mark * count for mark, count in runs)
)


@given(timelines)
def test_every_millisecond_has_exactly_one_fate_in_order(timeline: str) -> None:
    spans = fold(timeline, 32)
    position = 0
    for span in spans:
        assert span.start_ms == position
        assert span.end_ms >= span.start_ms
        position = span.end_ms
    assert position == len(timeline) * 32


@given(timelines)
def test_every_window_is_within_the_rule(timeline: str) -> None:
    for span in fold(timeline, 32):
        if span.fate is Fate.WINDOW:
            assert windows.MIN_WINDOW_MS <= span.end_ms - span.start_ms < windows.MAX_WINDOW_MS


@given(timelines)
def test_speech_is_lost_only_in_short_turns(timeline: str) -> None:
    for span in fold(timeline, 32):
        if span.fate is Fate.SILENCE:
            marks = timeline[span.start_ms // 32 : span.end_ms // 32]
            assert set(marks) <= {"-", "L", "N"}
            assert not re.search("L{10}|N{10}", marks)
        if span.fate in {Fate.LEAK, Fate.NOT_SPEECH}:
            assert set(timeline[span.start_ms // 32 : span.end_ms // 32]) == {str(span.fate)[0].upper()}
        if span.fate is Fate.SHORT:
            assert span.end_ms - span.start_ms < windows.MIN_WINDOW_MS


@given(timelines)
def test_no_window_is_waited_for_longer_than_the_rule_says(timeline: str) -> None:
    turn: Turn | None = None
    for index, mark in enumerate(timeline):
        heard_ms = (index + 1) * 100
        turn, spans = windows.step(
            turn, KINDS[mark], start_ms=heard_ms - 100, end_ms=heard_ms, energy=1 if mark == "q" else 100
        )
        for span in spans:
            if span.fate is Fate.WINDOW:
                assert heard_ms - span.end_ms <= windows.closing_ms(span.end_ms - span.start_ms)


def test_a_window_that_cannot_be_a_cut_waits_for_the_closing_silence_alone() -> None:
    assert (windows.closing_ms(2_500), windows.closing_ms(7_999)) == (500, 500)
