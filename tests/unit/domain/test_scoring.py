from dataclasses import replace
from datetime import UTC, datetime

import pytest

from streams.domain.deadletters import UnusableError
from streams.domain.privacy import window_id
from streams.domain.records import Label, Outcome, Role
from streams.domain.rules import likeliest
from streams.domain.schemes import EMODB
from streams.domain.scoring import Asked, OutOfDomain, check_label, fitted
from streams.domain.unlabelled import Unlabelled

AT = datetime(2026, 11, 27, tzinfo=UTC)
CALL = "c" * 64
HEADS = {head: {name: 1 / len(names) for name in names} for head, names in EMODB.heads().items()}
CLASSES = {head: names[0] for head, names in EMODB.heads().items()}

LABEL = Label(
    window_id=window_id(CALL, Role.CUSTOMER, 0),
    call=CALL,
    use_case="demo",
    role=Role.CUSTOMER,
    start_ms=0,
    end_ms=3000,
    consent_seq=0,
    spoken_at=AT,
    outcome=Outcome.LABELLED,
    bundle="b" * 64,
    heads=HEADS,
    classes=CLASSES,
)
MARKED = replace(LABEL, reason=Unlabelled.DISTANCE)


@pytest.mark.parametrize(
    "label",
    [
        LABEL,
        MARKED,
        replace(LABEL, classes={}),  # from before classes were told
        replace(LABEL, heads={}),  # of a bundle that is not calibrated
        replace(LABEL, outcome=Outcome.ABSTAINED, heads={}, classes={}, reason=Unlabelled.DISTANCE),
    ],
    ids=["labelled", "marked", "old", "uncalibrated", "abstained"],
)
def test_a_label_that_says_one_thing_may_be_stored(label: Label) -> None:
    assert check_label(label) is label


@pytest.mark.parametrize(
    "label",
    [
        replace(LABEL, reason=Unlabelled.SILENT),
        replace(LABEL, heads={}, classes={}),
        replace(LABEL, heads={"category.full": {}}, classes={}),
        replace(LABEL, outcome=Outcome.ABSTAINED, reason=Unlabelled.DISTANCE),
        replace(LABEL, outcome=Outcome.ABSTAINED, heads={}, classes={}),
    ],
    ids=["labelled for a reason", "nothing said", "a head without classes", "abstained and said", "no reason"],
)
def test_a_label_that_contradicts_itself_may_not(label: Label) -> None:
    with pytest.raises(UnusableError):
        check_label(label)


def test_a_use_case_that_abstains_keeps_nothing_of_a_window_out_of_domain_and_one_that_marks_all() -> None:
    abstaining, marking = (Asked(EMODB, out_of_domain=each) for each in OutOfDomain)
    abstained = fitted(MARKED, abstaining)
    assert (abstained.outcome, abstained.reason, abstained.heads, abstained.classes) == (
        Outcome.ABSTAINED,
        Unlabelled.DISTANCE,
        {},
        {},
    )
    assert fitted(MARKED, marking) is MARKED
    assert check_label(abstained)


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        (replace(LABEL, classes=CLASSES | {"category.full": "boredom"}), Unlabelled.OTHER_SCHEME),
        (replace(LABEL, classes={"category.full": "anger"}), Unlabelled.OTHER_SCHEME),
        (replace(LABEL, heads=HEADS | {"category.full": {"anger": 1.0}}), Unlabelled.OTHER_SCHEME),
        (replace(LABEL, heads={"mood.full": {"bad": 1.0}}, classes={}), Unlabelled.OTHER_SCHEME),
        (replace(LABEL, heads={}), Unlabelled.UNCALIBRATED),
    ],
)
def test_a_label_on_which_no_rule_could_hold_is_failed_with_its_reason(label: Label, reason: Unlabelled) -> None:
    found = fitted(label, Asked(EMODB, bounded=frozenset({"arousal.full"})))
    assert (found.outcome, found.reason, found.heads, found.classes) == (Outcome.FAILED, reason, {}, {})


def test_heads_without_probabilities_are_kept_where_no_rule_asks_for_them() -> None:
    label = replace(LABEL, heads={})
    assert fitted(label, Asked(EMODB)) is label


def test_a_label_from_before_classes_were_told_is_of_the_scheme_by_its_probabilities() -> None:
    old = replace(LABEL, classes={}, heads={head: {**row, likeliest(row): 0.9} for head, row in HEADS.items()})
    assert fitted(old, Asked(EMODB)) is old


def test_windows_of_a_use_case_that_is_not_installed_fail() -> None:
    assert fitted(LABEL, None).reason is Unlabelled.OTHER_SCHEME
