"""When people must look at a use case again: at its notice, its legal basis, its assessment and its rules."""

from datetime import date, timedelta
from enum import StrEnum

AHEAD = timedelta(days=30)  #: of its date a review is due: people need time for it


class Review(StrEnum):
    """How the review of a use case stands."""

    IN_TIME = "in_time"
    DUE = "due"  #: within 30 days
    OVERDUE = "overdue"
    UNDATED = "undated"  #: nobody has said by when


def review(by: date | None, today: date) -> Review:
    """How it stands on a day; `by` is the last day on which it is in time."""
    if by is None:
        return Review.UNDATED
    if today > by:
        return Review.OVERDUE
    return Review.DUE if today > by - AHEAD else Review.IN_TIME
