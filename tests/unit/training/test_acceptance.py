import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.training.pages import Page

from services.emotion.bundle import DEMO, load_bundle
from services.emotion.manifest import Score
from services.standalone import samples
from services.training.acceptance import Acceptance, Group, Window, accept, figures, laid_out
from services.training.corpora.corpus import DIMENSIONS, Annotation, Corpus, Cut, Segment
from services.training.errors import TrainingError
from services.training.report.acceptance import (
    acceptance_text,
    both,
    figure_of_classes,
    figure_of_rules,
    write_acceptance,
)
from services.training.report.figures import svg
from streams import usecases
from streams.domain.privacy import window_id
from streams.domain.records import Label, Outcome, Role
from streams.domain.schemes import CC_DEBT
from streams.domain.unlabelled import Unlabelled

CASE = usecases.load()["demo"]
AT = datetime(2026, 11, 27, tzinfo=UTC)
#: a letter a window: the class of each head, in the order of the scheme's heads
SAID = {
    "A": ("anger", "emotional", "negative", "negative", "excited"),
    "C": ("neutral", "neutral", "neutral", "rest", "neutral"),
}


def segment(call: str, start_ms: int, *, recording: str = "a.wav", channel: int = 0, sex: str = "") -> Segment:
    return Segment(
        f"{call}-{start_ms}", recording, start_ms, start_ms + 3000, "one", call, channel, sex=sex, language="de"
    )


def label(call: str, start_ms: int, letter: str) -> Label:
    """One that is sure, or abstained."""
    heads = {
        head: {name: float(name == chosen) for name in names}
        for (head, names), chosen in zip(CASE.scheme.heads().items(), SAID.get(letter, ()), strict=letter in SAID)
    }
    return Label(
        window_id=window_id(call, Role.CUSTOMER, start_ms),
        call=call,
        use_case="demo",
        role=Role.CUSTOMER,
        start_ms=start_ms,
        end_ms=start_ms + 3000,
        consent_seq=0,
        spoken_at=AT,
        outcome=Outcome.LABELLED if heads else Outcome.ABSTAINED,
        bundle="b",
        heads=heads,
        classes=dict(zip(heads, SAID.get(letter, ()), strict=True)),
        reason=None if heads else Unlabelled.SILENT,
    )


def call(name: str, true: str, said: str, **of: object) -> list[Window]:
    """A window a letter, A angry, C calm; - abstained, or without a truth."""
    return [
        Window(segment(name, 4000 * at, **of), label(name, 4000 * at, heard), label(name, 4000 * at, is_so))
        for at, (is_so, heard) in enumerate(zip(true, said, strict=True))
    ]


def group(*windows: list[Window]) -> Group:
    return next(figures(CASE, [each for some in windows for each in some]))


def value(score: Score | None) -> float | None:
    return score and score.value


def of_class(found: Group, head: str, name: str) -> dict[str, float | None]:
    (chosen,) = [each for each in found.classes if (each.head, each.name) == (head, name)]
    return {what: value(score) for what, score in chosen.figures.items()}


def test_a_bundle_that_is_always_right_has_1_everywhere_and_as_many_escalations_as_there_should_be() -> None:
    found = group(call("x", "AACC", "AACC"), call("y", "CCCC", "CCCC"))
    (rule,) = found.rules
    assert [value(score) for score in (*rule.hits.values(), *rule.calls.values())] == [1] * 6
    assert (rule.alerts.value, rule.wanted.value) == (50, 50)
    assert of_class(found, "category.full", "anger") == {"precision": 1, "recall": 1, "f1": 1}


def test_windows_and_calls_are_counted_at_the_rules_operating_point() -> None:
    """Two of three windows must be hits: one miss costs a window, two cost the call."""
    found = group(call("x", "AAAC", "ACAC"), call("y", "AACC", "ACCC"), call("z", "CCCC", "CAAC"))
    (rule,) = found.rules
    assert value(rule.hits["precision"]) == 3 / 5
    assert value(rule.hits["recall"]) == 3 / 5
    assert value(rule.calls["precision"]) == 1 / 2
    assert value(rule.calls["recall"]) == 1 / 2
    assert rule.alerts.value == pytest.approx(200 / 3)
    assert rule.alerts.low < rule.alerts.value < rule.alerts.high


def test_an_abstained_window_is_passed_over_and_counted_with_its_reason() -> None:
    found = group(call("x", "AACC", "A-AC"), call("y", "CC", "CC"))
    assert found.unjudged == {"silent": 1}
    assert (found.calls, found.windows) == (2, 6)
    assert of_class(found, "category.full", "anger") == {"precision": 1 / 2, "recall": 1, "f1": 2 / 3}


def test_a_window_without_a_truth_is_in_no_figure_of_classes() -> None:
    found = group(call("x", "A-C", "AAC"))
    assert of_class(found, "category.full", "anger")["precision"] == 1
    assert value(found.rules[0].hits["precision"]) == 1


def test_what_never_is_and_is_never_said_has_no_figure() -> None:
    found = group(call("x", "CC", "CC"))
    assert of_class(found, "category.full", "sadness") == {"precision": None, "recall": None, "f1": None}
    assert found.rules[0].calls["f1"] is None
    assert found.rules[0].alerts.value == 0


def test_figures_are_given_by_channel_and_sex_where_there_are_two_and_not_by_the_one_language() -> None:
    windows = call("x", "AA", "AA", channel=0, sex="f") + call("y", "CC", "AA", channel=1, sex="m")
    found = {each.name: each for each in figures(CASE, windows)}
    assert list(found) == ["all", "channel 0", "channel 1", "men", "women"]
    assert value(found["channel 0"].rules[0].hits["precision"]) == 1
    assert value(found["men"].rules[0].hits["precision"]) == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 60_000)), min_size=1, max_size=20, unique=True))
def test_recordings_of_a_call_follow_one_another_and_keep_their_own_times(drawn: list[tuple[str, int]]) -> None:
    segments = [segment("x", at, recording=name) for name, at in sorted(drawn)]
    starts = laid_out(segments)
    assert starts[0] == segments[0].start_ms
    ends = dict[str, int]()
    for before, after, start, previous in zip(segments, segments[1:], starts[1:], starts, strict=False):
        ends[before.recording] = previous + before.duration_ms
        if before.recording == after.recording:
            assert start - previous == after.start_ms - before.start_ms
        else:
            assert start >= ends[before.recording]


def sample_calls() -> Corpus:
    """The sample calls' customer, three seconds at a time."""
    segments = [
        Segment(f"{name}-{at}", f"{name}.wav", at, at + 3000, name, name, channel=1)
        for name in ("angry", "calm")
        for at in (3000, 6000, 9000)
    ]
    said = {"angry": "anger", "calm": "neutral"}
    annotations = [Annotation(each.id, "one", dict.fromkeys(DIMENSIONS, said[each.speaker])) for each in segments]
    folder = Path(str(samples.__file__)).parent
    return Corpus("samples", folder, tuple(segments), tuple(annotations), Cut.BY_CORPUS)


def test_a_bundle_is_judged_on_recordings_and_the_report_says_what_it_is_of() -> None:
    ticks: list[int] = []
    found = accept(load_bundle(DEMO), CASE, sample_calls(), lambda: ticks.append(1))
    assert len(ticks) == 2
    assert (found.groups[0].calls, found.groups[0].windows) == (2, 6)
    text = acceptance_text(found, "a" * 64)
    assert text.startswith("# demo on samples\n")
    assert found.bundle.sha256 in text
    assert "a" * 64 in text
    assert "must not score real customers" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 3 + 2 + sum(map(len, CASE.scheme.heads().values()))
    assert len({line.count("|") for line in rows[:3]}) == 1


@pytest.mark.parametrize(("name", "stem"), [("a.html", "a"), ("a.md", "a"), ("a", "a"), ("v1.2", "v1.2")])
def test_page_and_markdown_have_one_name(name: str, stem: str) -> None:
    assert both(Path("reports") / name) == (Path(f"reports/{stem}.html"), Path(f"reports/{stem}.md"))


def test_the_page_is_complete_in_itself_and_has_the_figures_that_the_markdown_has(tmp_path: Path) -> None:
    windows = call("x-secret", "AACC", "ACCC", sex="f") + call("y-secret", "CCCC", "CAAC", sex="m")
    found = Acceptance(load_bundle(DEMO), CASE, sample_calls(), tuple(figures(CASE, windows)))
    page, text = write_acceptance(tmp_path / "report.md", found, "a" * 64)
    read = Page()
    read.feed(page.read_text())
    assert read.open == []
    assert sum(place.startswith("data:image/svg+xml;base64,") for place in read.loaded) == 2
    assert all(place.startswith(("data:image/svg+xml;base64,", "#")) for place in read.loaded)
    assert text.read_text() == acceptance_text(found, "a" * 64)
    for line in text.read_text().splitlines():
        for figure in re.findall(r"\d+\.\d \[\S+, \S+\]", line):
            assert figure.replace(" ", "", 1) in read.text.replace("\n", "")
    assert not any("secret" in path.read_text() for path in (page, text))


def test_a_class_without_a_figure_is_drawn_without_a_point() -> None:
    found = group(call("x", "CC", "CC"))
    for drawn in (figure_of_classes(found.classes), figure_of_rules([found])):
        assert svg(drawn).startswith("<?xml")
    panels = figure_of_classes(found.classes).axes
    assert [len(panel.lines) for panel in panels[1:]] == [4, 4, 4, 4]  # one class of each head: two figures


def test_a_bundle_of_another_scheme_is_refused() -> None:
    with pytest.raises(TrainingError, match="does not tell apart what scheme 'cc-debt' of use case demo does"):
        accept(load_bundle(DEMO), replace(CASE, scheme=CC_DEBT), sample_calls())
