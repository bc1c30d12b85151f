"""Timelines: a character is a 5 s window. `N` negative, `E` emotional only, `.` calm, `a` abstained, `_` silence."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain import evolution
from streams.domain.evolution import Meaning, Overall, State, Third, Trend
from streams.domain.privacy import window_id
from streams.domain.records import Heads, Label, Outcome, Role
from streams.domain.schemes import CC_DEBT, CC_SUPPORT, EMODB, Dimension, Scheme

CALL = "c" * 64
SPOKEN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
STEP_MS = 5_000


def heads(emotional: float, negative: float, excited: float) -> dict[str, dict[str, float]]:
    return {
        "category.full": {"anger": emotional, "happiness": 0.0, "neutral": 1 - emotional, "sadness": 0.0},
        "category.binary": {"emotional": emotional, "neutral": 1 - emotional},
        "valence.full": {"negative": negative, "neutral": 1 - negative, "positive": 0.0},
        "valence.binary": {"negative": negative, "rest": 1 - negative},
        "arousal.full": {"excited": excited, "neutral": 1 - excited},
    }


HEADS = {"N": heads(0.9, 0.8, 0.9), "E": heads(0.9, 0.2, 0.9), ".": heads(0.1, 0.1, 0.1), "v": heads(0.1, 0.9, 0.9)}


def means(scheme: Scheme = EMODB) -> Meaning:
    found = evolution.meaning(scheme)
    assert found
    return found


def window(position: int, mark: str | Heads) -> Label:
    said: Heads = HEADS.get(mark, {}) if isinstance(mark, str) else mark
    return Label(
        window_id=window_id(CALL, Role.CUSTOMER, position * STEP_MS),
        call=CALL,
        use_case="demo",
        role=Role.CUSTOMER,
        start_ms=position * STEP_MS,
        end_ms=(position + 1) * STEP_MS,
        consent_seq=0,
        spoken_at=SPOKEN + timedelta(milliseconds=(position + 1) * STEP_MS),
        outcome=Outcome.LABELLED if said else Outcome.ABSTAINED,
        bundle="b" * 64,
        heads=said,
        reason=None if said else "silent",
    )


def call(timeline: str) -> list[Label]:
    return [window(position, mark) for position, mark in enumerate(timeline) if mark != "_"]


def evolved(timeline: str) -> evolution.Evolution:
    return evolution.evolution(call(timeline), means())


@pytest.mark.parametrize(
    ("timeline", "overall", "trend"),
    [
        ("", "unclear", "unclear"),
        ("aaa", "unclear", "unclear"),
        (".........", "neutral", "steady"),
        (".....EE..", "neutral", "steady"),  # 2 of 9 are emotional
        ("....EEE..", "emotional", "steady"),  # 3 of 9
        ("......NNN", "emotional", "worse"),
        ("NNN......", "emotional", "better"),
        ("NNNNNNNNN", "emotional", "steady"),
        ("N......NN", "emotional", "worse"),  # from 1 of 3 to 2 of 3
        (".....N...", "neutral", "steady"),
        ("EEEEEEEEE", "emotional", "steady"),  # a happy customer's trend is none
        ("aaa...NNN", "emotional", "unclear"),  # who knows how it began
        ("___...NNN", "emotional", "unclear"),
        ("N", "emotional", "steady"),  # one window fills the call
    ],
)
def test_a_call_as_a_whole(timeline: str, overall: str, trend: str) -> None:
    found = evolved(timeline)
    assert (found.overall, found.trend) == (overall, trend)


def test_windows_are_counted_and_those_without_a_judgement_apart() -> None:
    found = evolved("N.aE_a")
    assert (found.windows, found.judged) == (5, 3)


def test_a_window_across_the_border_of_two_thirds_counts_in_both_for_its_time() -> None:
    found = evolved("NE.a")  # 20 s: the first third ends 1,666 ms into the second window
    assert found.thirds == (
        Third(0, 6_666, judged_ms=6_666, emotional_ms=6_666, negative_ms=5_000),
        Third(6_666, 13_333, judged_ms=6_667, emotional_ms=3_334, negative_ms=0),
        Third(13_333, 20_000, judged_ms=1_667, emotional_ms=0, negative_ms=0),
    )


def test_the_thirds_are_of_the_media_time_up_to_the_last_window_silence_included() -> None:
    assert [third.judged_ms for third in evolved("N___E").thirds] == [5_000, 0, 5_000]


def test_the_strongest_window_is_the_most_negative_and_excited_of_those_that_are_confirmed() -> None:
    labels = [window(0, "N"), window(1, heads(0.9, 0.9, 0.9)), window(2, "v"), window(3, heads(0.9, 0.9, 0.9))]
    found = evolution.evolution(labels, means())
    assert (found.strongest_ms, found.strength) == (5_000, 810)


def test_where_no_negative_window_is_confirmed_none_is_the_strongest() -> None:
    found = evolved(".vE")
    assert (found.strongest_ms, found.strength) == (None, 0)


def test_very_negative_counts_more_than_negative_and_excited_more_than_slightly() -> None:
    rest = {"category.binary": {"calm": 0.1, "rest": 0.9}}
    arousal = {"excited": 0.6, "neutral": 0.1, "slightly excited": 0.3}
    mild = rest | {"valence.full": {"negative": 0.9, "neutral": 0.1, "very negative": 0.0}, "arousal.full": arousal}
    strong = rest | {"valence.full": {"negative": 0.1, "neutral": 0.1, "very negative": 0.8}, "arousal.full": arousal}
    found = [evolution.evolution([window(0, said)], means(CC_DEBT)).strength for said in (mild, strong)]
    assert found == [round(1000 * 0.45 * 0.75), round(1000 * 0.85 * 0.75)]


def test_where_a_bundle_gives_no_probabilities_the_class_said_counts_in_full() -> None:
    classes = {"category.binary": "emotional", "valence.full": "negative", "arousal.full": "excited"}
    label = replace(window(0, "N"), heads={}, classes=classes)
    assert evolution.evolution([label], means()).strength == evolution.STRONGEST


def test_the_class_said_decides_and_not_the_likeliest() -> None:
    label = replace(window(0, "N"), classes=dict.fromkeys(HEADS["N"], "neutral"))
    assert evolution.evolution([label], means()).overall is Overall.NEUTRAL


@pytest.mark.parametrize(
    ("scheme", "head", "neutral", "negative", "excited"),
    [
        (EMODB, "category.binary", {"neutral"}, {"negative": 1}, {"excited": 1}),
        (CC_SUPPORT, "category.binary", {"calm"}, {"negative": 1}, {"excited": 1}),
        (
            CC_DEBT,
            "category.binary",
            {"calm"},
            {"negative": 0.5, "very negative": 1},
            {"excited": 1, "slightly excited": 0.5},
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_the_classes_of_the_built_in_schemes_mean(
    scheme: Scheme, head: str, neutral: set[str], negative: Mapping[str, float], excited: Mapping[str, float]
) -> None:
    assert means(scheme) == Meaning(head, frozenset(neutral), negative, excited)


def test_a_sites_own_names_are_read_by_its_neutral_class_and_the_raw_labels_merged_in_the_others() -> None:
    site = Scheme(
        "cobros",
        {
            "category": Dimension({"tranquilo": ("calm",), "enfadado": ("annoyed", "angry")}, {}, neutral="tranquilo"),
            "valence": Dimension({"malo": ("negative", "very negative"), "otro": ("neutral", "positive")}, {}),
            "arousal": Dimension({"quieto": ("neutral",), "vivo": ("slightly excited", "excited")}, {}),
        },
    )
    assert means(site) == Meaning("category.full", frozenset({"tranquilo"}), {"malo": 1}, {"vivo": 1})


@pytest.mark.parametrize("lacking", ["category", "valence", "arousal"])
def test_a_scheme_that_does_not_tell_gives_no_meaning(lacking: str) -> None:
    foreign = Dimension({"uno": ("1",), "dos": ("2",)}, {})
    assert evolution.meaning(replace(EMODB, dimensions={**EMODB.dimensions, lacking: foreign})) is None
    rest = {name: dimension for name, dimension in EMODB.dimensions.items() if name != lacking}
    assert evolution.meaning(replace(EMODB, dimensions=rest)) is None


def test_a_label_of_another_scheme_is_as_one_without_a_judgement() -> None:
    found = evolution.evolution([window(0, {"mood.full": {"bad": 0.9, "good": 0.1}})], means())
    assert (found.windows, found.judged, found.overall) == (1, 0, Overall.UNCLEAR)


probability = st.floats(0, 1)
marks = st.one_of(st.sampled_from("NE.av"), st.builds(heads, probability, probability, probability))


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[Label], list[list[Label]]]:
    """A call's windows in order, and the same in batches out of order, some of them repeated."""
    places = draw(st.sets(st.integers(0, 40), max_size=12))
    labels = [window(place, draw(marks)) for place in sorted(places)]
    left = draw(st.permutations(labels)) + draw(
        st.lists(st.sampled_from(labels), max_size=5) if labels else st.just([])
    )
    batches = []
    while left:
        size = draw(st.integers(1, 5))
        batches.append(left[:size])
        left = left[size:]
    return labels, batches


@given(arrivals())
def test_in_whatever_order_and_however_often_windows_arrive_the_evolution_is_the_same(
    arrived: tuple[list[Label], list[list[Label]]],
) -> None:
    labels, batches = arrived
    state = State()
    for batch in batches:
        state = evolution.fold(state, batch, means())
    assert evolution.finish(state) == evolution.evolution(labels, means())


@given(arrivals())
def test_the_evolution_does_not_depend_on_the_order_of_the_classes(
    arrived: tuple[list[Label], list[list[Label]]],
) -> None:
    labels, _ = arrived
    turned = [
        replace(label, heads={head: dict(reversed(row.items())) for head, row in label.heads.items()})
        for label in labels
    ]
    assert evolution.evolution(turned, means()) == evolution.evolution(labels, means())


@given(arrivals())
def test_the_thirds_sum_up_to_the_windows_and_the_strongest_is_one_of_them(
    arrived: tuple[list[Label], list[list[Label]]],
) -> None:
    labels, _ = arrived
    found = evolution.evolution(labels, means())
    judged = [label for label in labels if label.outcome is Outcome.LABELLED]
    assert sum(third.judged_ms for third in found.thirds) == STEP_MS * len(judged)
    assert all(0 <= third.negative_ms <= third.judged_ms for third in found.thirds)
    assert all(0 <= third.emotional_ms <= third.judged_ms for third in found.thirds)
    assert found.strongest_ms is None or found.strongest_ms in {label.start_ms for label in judged}
    assert (found.strongest_ms is None) == (found.strength == 0)


@given(st.lists(st.text("N.", min_size=3, max_size=3), min_size=1, max_size=10).map("".join))
def test_a_call_told_backwards_has_the_opposite_trend(timeline: str) -> None:
    opposite = {Trend.BETTER: Trend.WORSE, Trend.WORSE: Trend.BETTER}
    there, back = evolved(timeline), evolved(timeline[::-1])
    assert back.trend == opposite.get(there.trend, there.trend)
    assert back.overall == there.overall
