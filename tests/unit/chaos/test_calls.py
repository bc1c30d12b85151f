from dataclasses import replace
from datetime import UTC, datetime
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from ops.chaos.calls import Kind, Mix, Permission, plan
from ops.chaos.poison import poisoned
from ops.chaos.results import of

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
SHORT = Mix(media_s=(3, 6), duplicate=0.1, swapped=0.1, late=0.1, missing=0.1)
SEEDS = st.integers(0, 10_000)


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - the same in every run


@settings(deadline=None, max_examples=25)
@given(SEEDS)
def test_the_same_seed_makes_the_same_call(seed: int) -> None:
    assert plan(seeded(seed), "call", SHORT, AT) == plan(seeded(seed), "call", SHORT, AT)


@settings(deadline=None, max_examples=25)
@given(SEEDS)
def test_a_disturbed_call_still_begins_with_started_and_ends_with_ended(seed: int) -> None:
    types = [dict(sending.record.headers)["ce_type"] for sending in plan(seeded(seed), "call", SHORT, AT).sendings]
    assert (types[0], types[-1]) == (b"undertone.call.started.v1", b"undertone.call.ended.v1")


@settings(deadline=None, max_examples=25)
@given(SEEDS)
def test_an_undisturbed_call_is_in_order_and_complete(seed: int) -> None:
    call = plan(seeded(seed), "call", Mix(media_s=(3, 6)), AT)
    assert [sending.sequence for sending in call.sendings] == list(range(len(call.sendings)))
    assert {sending.kind for sending in call.sendings} == {Kind.HEALTHY}


@settings(deadline=None, max_examples=25)
@given(SEEDS)
def test_poison_leaves_the_healthy_records_as_they_are(seed: int) -> None:
    call = plan(seeded(seed), "call", SHORT, AT)
    spoilt = poisoned(seeded(seed), call, 0.5, 4)
    assert [each for each in spoilt.sendings if each.kind is not Kind.POISON] == list(call.sendings)
    assert all(each.reason for each in spoilt.sendings if each.kind is Kind.POISON)


@settings(deadline=None, max_examples=25)
@given(SEEDS)
def test_a_storm_holds_a_hundred_unusable_records_back_to_back(seed: int) -> None:
    call = plan(seeded(seed), "call", replace(SHORT, media_s=(3, 3), late=0, missing=0), AT)
    kinds = "".join("x" if each.kind is Kind.POISON else "." for each in poisoned(seeded(seed), call, 1.0, 4).sendings)
    assert max(map(len, kinds.split("."))) >= 100


@settings(deadline=None, max_examples=25)
@given(SEEDS)
def test_a_withdrawn_call_is_withdrawn_in_its_middle(seed: int) -> None:
    call = plan(seeded(seed), "call", Mix(media_s=(4, 6), permissions=((Permission.WITHDRAWN, 1.0),)), AT)
    consents = [each for each in call.sendings if dict(each.record.headers)["ce_type"] == b"undertone.call.consent.v1"]
    assert len(consents) == 1
    assert 0 < consents[0].sequence < call.sendings[-1].sequence


def test_nothing_lost_is_said_with_the_upper_end_of_its_interval() -> None:
    assert of(0, 300) == "0 of 300 (< 1 %)"
    assert of(2, 300) == "**2 of 300**"
