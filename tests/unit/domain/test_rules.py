"""Timelines: a character is a 5 s window. `H` hit, `.` labelled and no hit, `a` abstained, `_` nobody speaks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain import rules
from streams.domain.privacy import escalation_id, window_id
from streams.domain.records import Consent, Label, Outcome, Purpose, Role
from streams.domain.rules import Condition, Rule, RuleError, Severity
from streams.domain.schemes import EMODB
from streams.domain.unlabelled import Unlabelled

CALL = "c" * 64
SPOKEN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
CONSENT = Consent(Purpose.ALERTING, granted=True, basis="consent", given_at=SPOKEN)
STEP_MS = 5_000
ANGRY = {
    "category.full": {"anger": 0.7, "happiness": 0.1, "neutral": 0.1, "sadness": 0.1},
    "category.binary": {"emotional": 0.9, "neutral": 0.1},
    "valence.full": {"negative": 0.8, "neutral": 0.1, "positive": 0.1},
    "valence.binary": {"negative": 0.8, "rest": 0.2},
    "arousal.full": {"excited": 0.9, "neutral": 0.1},
}
CALM = {**ANGRY, "category.binary": {"emotional": 0.2, "neutral": 0.8}}
RULE = Rule(
    name="very-negative",
    severity=Severity.HIGH,
    when=(
        Condition("valence.full", any_of=("negative",)),
        Condition("arousal.full", any_of=("excited",)),
        Condition("category.binary", none_of=("neutral",)),
    ),
    hits=2,
    of=3,
    cool_down_ms=20_000,
)


def window(position: int, mark: str) -> Label:
    judged = mark in "H."
    return Label(
        window_id=window_id(CALL, Role.CUSTOMER, position * STEP_MS),
        call=CALL,
        use_case="demo",
        role=Role.CUSTOMER,
        start_ms=position * STEP_MS,
        end_ms=(position + 1) * STEP_MS,
        consent_seq=0,
        spoken_at=SPOKEN + timedelta(milliseconds=(position + 1) * STEP_MS),
        outcome=Outcome.LABELLED if judged else Outcome.ABSTAINED,
        bundle="b" * 64,
        heads={"H": ANGRY, ".": CALM}.get(mark, {}),
        reason=None if judged else Unlabelled.SILENT,
    )


def call(timeline: str) -> list[Label]:
    return [window(position, mark) for position, mark in enumerate(timeline) if mark != "_"]


def raised(
    labels: Sequence[Label], known: Sequence[rules.Escalation] = (), rule: Rule = RULE, at: datetime = SPOKEN
) -> list[rules.Escalation]:
    stored = {escalation.id for escalation in known}
    return rules.escalations([rule], labels, stored, consent=CONSENT, reference="ticket 7", at=at)


def arriving(batches: Sequence[Sequence[Label]], rule: Rule = RULE) -> list[rules.Escalation]:
    """What is raised where the stored rows grow by one batch at a time."""
    rows: list[Label] = []
    stored: list[rules.Escalation] = []
    for batch in batches:
        rows.extend(batch)
        stored.extend(raised(rows, stored, rule))
    return stored


def marks(timeline: str, escalations: Sequence[rules.Escalation]) -> str:
    """`^` under each window that raised."""
    positions = {escalation.to_ms // STEP_MS - 1 for escalation in escalations}
    return "".join("^" if position in positions else " " for position in range(len(timeline))).rstrip()


@pytest.mark.parametrize(
    ("timeline", "expected"),
    [
        ("H", ""),
        ("....", ""),
        ("HH", " ^"),
        ("H.H", "  ^"),
        ("H..H", ""),  # two of the last four
        ("H..HH", "    ^"),
        ("HHHHHHHH", " ^"),  # one episode, one escalation
        ("HaaH", "   ^"),  # what was not judged takes no place
        ("aa", ""),
        ("H____________H", "             ^"),  # nor does silence: the last windows, however long ago
        ("HH..HH", " ^"),  # 15 s without it: still the same episode
        ("HH...HH", " ^    ^"),  # 20 s without it: the cool-down has passed, the next is another
        ("HH....H.H", " ^      ^"),
        ("HH....H", " ^"),  # one hit alone opens nothing
        ("HH____.HH", " ^     ^"),  # two of the last three, however long ago
        ("HHH___HH", " ^"),  # the cool-down counts from the end of the last window at which it held
        ("HH____.", " ^"),  # two of the last three were hits, but this one is none
    ],
)
def test_one_escalation_an_episode(timeline: str, expected: str) -> None:
    assert marks(timeline, raised(call(timeline))) == expected


def test_without_a_cool_down_every_window_at_which_it_holds_raises() -> None:
    assert marks("HHH", raised(call("HHH"), rule=replace(RULE, cool_down_ms=0))) == " ^^"


def test_an_escalation_says_what_was_heard_when_and_under_which_consent() -> None:
    labels = call("H.H")
    at = SPOKEN + timedelta(seconds=40)
    [escalation] = raised(labels, at=at)
    assert escalation.id == escalation_id(CALL, "very-negative", labels[2].window_id)
    assert escalation.window_ids == (labels[0].window_id, labels[2].window_id)
    assert (escalation.from_ms, escalation.to_ms) == (0, 15_000)
    assert escalation.heads == ANGRY
    assert (escalation.consent, escalation.reference, escalation.severity) == (CONSENT, "ticket 7", "high")
    assert (escalation.raised_at, escalation.late, escalation.retracted) == (at, False, False)


@pytest.mark.parametrize(("seconds", "late"), [(60, False), (60.001, True)])
def test_an_escalation_is_late_over_60_s_after_its_window_was_spoken(seconds: float, late: bool) -> None:
    labels = call("HH")
    [escalation] = raised(labels, at=labels[-1].spoken_at + timedelta(seconds=seconds))
    assert escalation.late is late


def test_two_rules_raise_each_their_own() -> None:
    other = replace(RULE, name="annoyed", hits=1, of=1)
    found = rules.escalations([RULE, other], call("HH"), (), consent=CONSENT, reference=None, at=SPOKEN)
    assert [(escalation.rule, escalation.to_ms) for escalation in found] == [
        ("very-negative", 10_000),
        ("annoyed", 5_000),
    ]
    assert len({escalation.id for escalation in found}) == 2


def test_a_row_that_comes_late_raises_no_second_escalation_for_the_episode() -> None:
    first, *rest = call("HHH")
    later = arriving([rest, [first]])  # raised at the third; with the first known, the second would have raised
    assert marks("HHH", later) == "  ^"


def test_a_row_that_comes_late_and_breaks_the_rule_leaves_what_was_raised_and_adds_nothing() -> None:
    first, *between, last = call("H..H")
    more = window(4, "H")
    assert marks("H..HH", arriving([[first, last], between, [more]])) == "   ^"


def test_the_likeliest_class_does_not_depend_on_the_order_of_the_classes() -> None:
    level = {"neutral": 0.5, "excited": 0.5}
    assert rules.likeliest(level) == rules.likeliest(dict(reversed(level.items()))) == "excited"


@pytest.mark.parametrize(
    ("condition", "hit"),
    [
        (Condition("valence.full", at_least={"negative": 0.8}), True),
        (Condition("valence.full", at_least={"negative": 0.81}), False),
        (Condition("valence.full", at_most={"positive": 0.1}), True),
        (Condition("valence.full", at_most={"positive": 0.09}), False),
        (Condition("valence.full", any_of=("negative",), at_least={"neutral": 0.2}), False),
        (Condition("category.full", any_of=("happiness", "anger")), True),
        (Condition("category.full", none_of=("happiness", "anger")), False),
        (Condition("another.full", none_of=("happiness",)), False),
        (Condition("valence.full", at_least={"very negative": 0.0}), False),
        (Condition("valence.full", at_most={"very negative": 1.0}), False),
    ],
)
def test_every_part_of_a_condition_must_hold_and_what_is_unknown_does_not(condition: Condition, hit: bool) -> None:
    assert rules.is_hit(replace(RULE, when=(condition,)), window(0, "H")) is hit


def test_a_condition_on_classes_follows_the_class_said_and_not_the_likeliest() -> None:
    level = {"valence.full": {"negative": 0.4, "neutral": 0.4, "positive": 0.2}}
    said = replace(window(0, "H"), heads=level, classes={"valence.full": "neutral"})
    negative, neutral = (replace(RULE, when=(Condition("valence.full", any_of=(n,)),)) for n in ("negative", "neutral"))
    assert rules.is_hit(neutral, said)
    assert not rules.is_hit(negative, said)


def test_a_head_that_is_not_calibrated_meets_conditions_on_classes_and_none_on_probabilities() -> None:
    said = replace(window(0, "H"), heads={}, classes={"valence.full": "negative"})
    for condition, hit in (
        (Condition("valence.full", any_of=("negative",)), True),
        (Condition("valence.full", none_of=("negative",)), False),
        (Condition("valence.full", at_least={"negative": 0.0}), False),
        (Condition("valence.full", at_most={"neutral": 1.0}), False),
    ):
        assert rules.is_hit(replace(RULE, when=(condition,)), said) is hit
    asking = replace(RULE, when=(Condition("arousal.full", at_least={"excited": 0.5}), *RULE.when))
    assert rules.bounded([RULE, asking]) == {"arousal.full"}


def test_an_escalation_says_the_classes_of_the_window_that_raised_it() -> None:
    labels = [replace(label, classes=rules.said(label)) for label in call("HH")]
    [escalation] = raised(labels)
    assert escalation.classes == rules.said(escalation) == labels[1].classes


def test_a_window_that_is_marked_as_out_of_domain_counts_and_one_that_is_abstained_from_takes_no_place() -> None:
    first, *between, last = call("HHHH")
    marked = [replace(each, reason=Unlabelled.DISTANCE) for each in between]
    passed_over = [replace(each, outcome=Outcome.ABSTAINED, reason=Unlabelled.DISTANCE, heads={}) for each in between]
    assert marks("HHHH", raised([first, *marked, last])) == " ^"
    assert marks("HHHH", raised([first, *passed_over, last])) == "   ^"


def test_a_rule_over_the_scheme_passes_its_check() -> None:
    rules.check(RULE, EMODB.heads())


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"hits": 0}, "hits 0 of 3; give 1 <= hits <= of"),
        ({"hits": 4}, "hits 4 of 3"),
        ({"cool_down_ms": -1}, "cool_down_ms -1 is negative"),
        ({"when": ()}, "`when` is empty"),
        ({"when": (Condition("arousal.binary", any_of=("excited",)),)}, "no head 'arousal.binary'; name one of"),
        (
            {"when": (*RULE.when, Condition("valence.full", any_of=("very negative",)))},
            "when[3]: head 'valence.full' has no class 'very negative'; name one of negative, neutral, positive",
        ),
        ({"when": (Condition("valence.full", at_least={"bad": 0.5}),)}, "has no class 'bad'"),
        ({"when": (Condition("valence.full", at_least={"negative": 1.5}),)}, "1.5 for class 'negative'"),
        ({"when": (Condition("valence.full"),)}, "asks nothing; give any_of"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_with_the_place_and_the_remedy(
    broken: Mapping[str, object], message: str
) -> None:
    with pytest.raises(RuleError, match=r"^rule 'very-negative'") as refused:
        rules.check(replace(RULE, **broken), EMODB.heads())  # type: ignore[arg-type]  # the table names fields
    assert message in str(refused.value)


timelines = st.text(alphabet="H.a_", max_size=40)
some_rules = st.builds(
    lambda of, hits, cool_down: replace(RULE, of=of, hits=min(hits, of), cool_down_ms=cool_down),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 8).map(lambda windows: windows * STEP_MS),
)


@st.composite
def arrivals(draw: st.DrawFn, *, shuffled: bool) -> list[list[Label]]:
    """The windows of a call, in batches, some of them repeated."""
    labels = call(draw(timelines))
    if shuffled:
        labels = draw(st.permutations(labels))
    batches: list[list[Label]] = []
    while labels:
        size = draw(st.integers(1, 5))
        batches.append(labels[:size])
        labels = labels[size:]
    return batches


@given(some_rules, arrivals(shuffled=False))
def test_however_a_call_is_cut_into_batches_it_raises_what_the_whole_call_raises(
    rule: Rule, batches: list[list[Label]]
) -> None:
    whole = raised([label for batch in batches for label in batch], rule=rule)
    assert arriving(batches, rule) == whole


@given(some_rules, arrivals(shuffled=True))
def test_in_whatever_order_rows_arrive_every_episode_is_raised_and_none_twice(
    rule: Rule, batches: list[list[Label]]
) -> None:
    rows: list[Label] = []
    stored: list[rules.Escalation] = []
    for batch in batches:
        rows.extend(batch)
        before = {escalation.id for escalation in stored}
        covered = [episode for episode in rules.episodes(rule, rows, before) if episode.raised]
        new = raised(rows, stored, rule)
        stored.extend(new)
        after = list(rules.episodes(rule, rows, {escalation.id for escalation in stored}))
        assert all(episode.raised for episode in after)
        assert len(after) == len(covered) + len(new)
        assert raised(rows, stored, rule) == []
    assert len({escalation.id for escalation in stored}) == len(stored)


@given(some_rules, timelines)
def test_episodes_lie_a_cool_down_apart_and_open_at_a_hit_of_enough_hits(rule: Rule, timeline: str) -> None:
    found = list(rules.episodes(rule, call(timeline)))
    for episode in found:
        assert rule.hits <= len(episode.hits) <= rule.of
        assert episode.hits[-1].end_ms <= episode.held_ms
    for before, after in pairwise(found):
        assert after.hits[-1].start_ms - before.held_ms >= rule.cool_down_ms


@given(some_rules, timelines)
def test_the_fold_keeps_no_more_than_the_last_windows(rule: Rule, timeline: str) -> None:
    state = rules.State()
    for label in call(timeline):
        state, _ = rules.step(rule, state, label)
        assert len(state.recent) <= rule.of
        assert state.episode is None or len(state.episode.hits) <= rule.of
