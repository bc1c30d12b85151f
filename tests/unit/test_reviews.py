"""What the relay tells of the reviews of use cases."""

import logging
from dataclasses import replace
from datetime import date

import pytest
from prometheus_client import CollectorRegistry

from streams import usecases
from streams.app import tell_reviews
from streams.domain.reviews import Review
from streams.metrics import Metrics

[DEMO] = usecases.load().values()


def test_use_cases_are_counted_by_how_their_review_stands_and_those_that_need_one_are_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    days = {"calm": date(2028, 1, 1), "soon": date(2027, 3, 31), "past": date(2027, 2, 1), "silent": None}
    metrics = Metrics(CollectorRegistry())
    with caplog.at_level(logging.WARNING):
        tell_reviews([replace(DEMO, name=name, review_by=by) for name, by in days.items()], metrics, date(2027, 3, 10))
    shown = {state: metrics.registry.get_sample_value("undertone_reviews", {"state": state}) for state in Review}
    assert set(shown.values()) == {1}
    told = {record.__dict__["use_case"]: record.__dict__["review"] for record in caplog.records}
    assert told == {"soon": "due", "past": "overdue"}


def test_every_state_is_shown_where_no_use_case_is_in_it() -> None:
    metrics = Metrics(CollectorRegistry())
    tell_reviews([DEMO], metrics, date(2027, 3, 10))
    shown = {state: metrics.registry.get_sample_value("undertone_reviews", {"state": state}) for state in Review}
    assert shown == {Review.UNDATED: 1, Review.IN_TIME: 0, Review.DUE: 0, Review.OVERDUE: 0}
