"""The picture of a call's turns: every millisecond lies somewhere on it, and every fate is told by its look."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from matplotlib.figure import Figure

from services import lanes
from services.emotion.bundle import DEMO, load_bundle
from services.recordings import open_recording
from services.standalone.samples import ANGRY
from services.timeline import Timeline, timeline
from streams import usecases
from streams.domain.records import Outcome, Role
from streams.domain.windows import Fate, Span


def heard(path: Path, *roles: Role) -> Timeline:
    return timeline(open_recording(path), roles, load_bundle(DEMO), use_case=usecases.load()["demo"])


@pytest.fixture(scope="module")
def angry() -> Timeline:
    return heard(ANGRY, Role.AGENT, Role.CUSTOMER)


@pytest.fixture(scope="module")
def mono(tmp_path_factory: pytest.TempPathFactory) -> Timeline:
    pcm, rate = soundfile.read(ANGRY, dtype="int16")
    path = tmp_path_factory.mktemp("mono") / "mono.wav"
    soundfile.write(path, (pcm.astype(np.int32).sum(axis=1) // 2).astype(np.int16), rate)
    return heard(path, Role.MIXED)


@pytest.mark.parametrize("which", ["angry", "mono"])
def test_what_lies_on_a_channel_follows_each_other_from_beginning_to_end(
    which: str, request: pytest.FixtureRequest
) -> None:
    found: Timeline = request.getfixturevalue(which)
    assert len(found.lanes) == len(found.roles)
    for lane, fates in zip(found.lanes, found.fates, strict=True):
        ends = [0, *(span.end_ms for span in lane)]
        assert [span.start_ms for span in lane] == ends[:-1]
        assert ends[-1] == found.recording.duration_ms
        assert {fate: lasts(lane, fate) for fate, ms in fates.items() if ms} == {f: ms for f, ms in fates.items() if ms}


def lasts(lane: tuple[Span, ...], fate: Fate) -> int:
    return sum(span.end_ms - span.start_ms for span in lane if span.fate is fate)


def test_a_window_lies_where_its_label_says(angry: Timeline) -> None:
    windows = [(span.start_ms, span.end_ms) for span in angry.lanes[1] if span.fate is Fate.WINDOW]
    assert windows == [(label.start_ms, label.end_ms) for label in angry.labels]


def test_no_two_fates_look_alike() -> None:
    assert set(lanes.LOOKS) == set(Fate)
    assert len({(colour, hatch) for colour, hatch, _ in lanes.LOOKS.values()}) == len(Fate)


@pytest.mark.parametrize(
    ("duration_ms", "row_ms"),
    [(0, 1), (45_000, 45_000), (60_000, 60_000), (60_001, 40_000), (245_400, 50_000), (3_600_000, 600_000)],
)
def test_a_row_is_long_enough_for_six_of_them(duration_ms: int, row_ms: int) -> None:
    assert lanes.row_ms(duration_ms) == row_ms


def test_what_lies_across_the_end_of_a_row_goes_on_in_the_next() -> None:
    lane = [Span(0, 900, Fate.SILENCE), Span(900, 2100, Fate.AGENT), Span(2100, 3000, Fate.SILENCE)]
    assert lanes.between(lane, 0, 1000) == [Span(0, 900, Fate.SILENCE), Span(900, 1000, Fate.AGENT)]
    assert lanes.between(lane, 1000, 2000) == [Span(1000, 2000, Fate.AGENT)]


def test_the_legend_tells_of_every_fate_how_long_it_is(angry: Timeline) -> None:
    spans = tuple(Span(1000 * number, 1000 * (number + 1), fate) for number, fate in enumerate(Fate))
    figure = drawn(replace(angry, lanes=(spans, spans), fates=(dict.fromkeys(Fate, 1000),) * 2))
    told = [text.get_text().partition(":")[0] for text in figure.legends[0].get_texts()]
    assert sorted(told) == sorted(f"{fate} 2.0 s" for fate in Fate)


def test_each_row_names_its_lanes_the_customers_first(angry: Timeline, mono: Timeline) -> None:
    assert names(drawn(angry)) == {("label", "customer", "agent")}
    assert names(drawn(mono)) == {("label", "mixed")}


def names(figure: Figure) -> set[tuple[str, ...]]:
    return {tuple(tick.get_text() for tick in axes.get_yticklabels()) for axes in figure.axes}


def drawn(found: Timeline, *raised_ms: int) -> Figure:
    figure = Figure(figsize=(12, lanes.height(found)), layout="constrained")
    lanes.draw(figure, found, raised_ms)
    figure.draw_without_rendering()
    return figure


def test_a_window_shows_its_category_and_one_without_a_label_why(angry: Timeline) -> None:
    first, second, *rest = angry.labels
    unlabelled = replace(first, heads={}, classes={}, outcome=Outcome.ABSTAINED, reason="clipped")
    figure = drawn(replace(angry, labels=(unlabelled, second, *rest)))
    shown = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert shown[0].startswith("abstain")
    assert "anger" in {text.partition(" ")[0] for text in shown}


def test_a_dashed_line_is_an_escalation(angry: Timeline) -> None:
    assert [dashed(drawn(angry, *at_ms)) for at_ms in ((), (20_000,))] == [0, 1]


def dashed(figure: Figure) -> int:
    return sum(line.get_linestyle() == "--" for axes in figure.axes for line in axes.lines)
