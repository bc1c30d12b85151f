"""Overlap on timelines: one character a frame of 32 ms; upper row the customer, lower row the agent; S speaks."""

from hypothesis import given
from hypothesis import strategies as st

from streams.domain import overlap
from streams.domain.overlap import FRAME_MS, OFFSET, ONSET, Frame, Heard, Kind

SHOWN = {Kind.SPEECH: "S", Kind.SILENCE: "-", Kind.OVERLAP: "O"}


def resolve(*rows: str) -> list[Heard]:
    floor = overlap.silent(len(rows))
    resolved: list[Heard] = []
    for index, marks in enumerate(zip(*rows, strict=True)):
        probability = tuple(1.0 if mark == "S" else 0.0 for mark in marks)
        start_ms = index * FRAME_MS
        frame = Frame(start_ms, start_ms + FRAME_MS, probability, (1,) * len(rows))
        floor, more = overlap.step(floor, frame)
        resolved += more
    end_ms = len(rows[0]) * FRAME_MS
    return resolved + list(overlap.finish(floor, end_ms, end_ms))


def drawn(*rows: str) -> list[str]:
    resolved = resolve(*rows)
    return ["".join(SHOWN[heard.kind[channel]] for heard in resolved) for channel in range(len(rows))]


def test_overlap_of_three_tenths_of_a_second_is_removed() -> None:
    customer = "SSSSSSSSSSSSSSSSSS----"
    agent_in = "------SSSSSSSSSSSSSSSS"
    assert drawn(customer, agent_in) == ["SSSSSSOOOOOOOOOOOO----", "------OOOOOOOOOOOOSSSS"]


def test_shorter_overlap_is_kept_on_both_channels() -> None:
    customer = "SSSSSSSSSSSSSSSS------"
    agent_in = "-------SSSSSSSSSSSSSSS"
    assert drawn(customer, agent_in) == [customer, agent_in]


def test_overlap_still_undecided_at_the_end_is_kept() -> None:
    assert drawn("SSSSSS", "---SSS") == ["SSSSSS", "---SSS"]


def test_speech_begins_at_the_onset_and_ends_under_the_offset() -> None:
    floor = overlap.silent(1)
    speaks = []
    for probability in (0.49, ONSET, 0.4, OFFSET, 0.34, 0.4):
        floor, _ = overlap.step(floor, Frame(0, FRAME_MS, (probability,), (1,)))
        speaks.append(floor.speaking[0])
    assert speaks == [False, True, True, True, False, False]


def test_the_rest_of_under_a_frame_goes_on_as_before_it() -> None:
    floor, _ = overlap.step(overlap.silent(1), Frame(0, FRAME_MS, (1.0,), (1,)))
    (rest,) = overlap.finish(floor, FRAME_MS + 10, FRAME_MS)
    assert (rest.start_ms, rest.end_ms, rest.kind) == (FRAME_MS, FRAME_MS + 10, (Kind.SPEECH,))


def kinds(probability: tuple[float, ...], *instead: Kind | None) -> tuple[Kind, ...]:
    _, (heard,) = overlap.step(overlap.silent(2), Frame(0, FRAME_MS, probability, (1, 1), instead))
    return heard.kind


def test_a_voice_that_leaks_is_no_overlap() -> None:
    assert kinds((1.0, 1.0), None, Kind.LEAK) == (Kind.SPEECH, Kind.LEAK)


def test_only_where_there_is_a_voice_can_one_leak() -> None:
    assert kinds((1.0, 0.0), None, Kind.LEAK) == (Kind.SPEECH, Kind.SILENCE)


def test_what_is_no_speech_needs_no_voice_activity() -> None:
    assert kinds((1.0, 0.0), None, Kind.NOT_SPEECH) == (Kind.SPEECH, Kind.NOT_SPEECH)


def test_the_rest_of_under_a_frame_is_what_the_frame_before_it_was() -> None:
    frame = Frame(0, FRAME_MS, (1.0, 1.0), (1, 1), (None, Kind.LEAK))
    floor, _ = overlap.step(overlap.silent(2), frame)
    (rest,) = overlap.finish(floor, FRAME_MS + 10, FRAME_MS)
    assert rest.kind == (Kind.SPEECH, Kind.LEAK)


rows = st.lists(st.tuples(st.sampled_from("S-"), st.sampled_from("S-"), st.integers(1, 14)), min_size=1).map(
    lambda runs: ("".join(c * n for c, _, n in runs), "".join(a * n for _, a, n in runs))
)


@given(rows)
def test_frames_come_back_once_and_in_order(drawing: tuple[str, str]) -> None:
    starts = [heard.start_ms for heard in resolve(*drawing)]
    assert starts == [index * FRAME_MS for index in range(len(drawing[0]))]


@given(rows)
def test_only_runs_in_which_both_speak_long_enough_are_overlap(drawing: tuple[str, str]) -> None:
    both = "".join("B" if c == a == "S" else "." for c, a in zip(*drawing, strict=True))
    expected = "".join(
        ("O" if run[0] == "B" and len(run) * FRAME_MS >= overlap.OVERLAP_MS else ".") * len(run) for run in _runs(both)
    )
    assert "".join("O" if mark == "O" else "." for mark in drawn(*drawing)[0]) == expected


def _runs(marks: str) -> list[str]:
    runs: list[str] = []
    for mark in marks:
        if runs and runs[-1][0] == mark:
            runs[-1] += mark
        else:
            runs.append(mark)
    return runs
