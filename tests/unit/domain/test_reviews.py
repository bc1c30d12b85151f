from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.reviews import Review, review

BY = date(2027, 3, 31)
ORDER = [Review.IN_TIME, Review.DUE, Review.OVERDUE]


@pytest.mark.parametrize(
    ("today", "stands"),
    [
        (date(2027, 3, 1), Review.IN_TIME),
        (date(2027, 3, 2), Review.DUE),
        (date(2027, 3, 31), Review.DUE),
        (date(2027, 4, 1), Review.OVERDUE),
    ],
)
def test_a_review_is_due_for_thirty_days_up_to_its_date(today: date, stands: Review) -> None:
    assert review(BY, today) is stands


def test_a_use_case_of_which_nobody_says_when_is_undated() -> None:
    assert review(None, BY) is Review.UNDATED


@given(st.dates(min_value=date(1900, 1, 1)), st.dates(), st.integers(0, 1000))
def test_a_review_never_becomes_less_due_by_waiting(by: date, today: date, days: int) -> None:
    later = min(date.max - today, timedelta(days=days))
    assert ORDER.index(review(by, today)) <= ORDER.index(review(by, today + later))
