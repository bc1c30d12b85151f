from datetime import UTC, datetime, timedelta

import pytest

from services.commands.moments import MomentError, since

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("-10m", timedelta(minutes=10)),
        ("10m", timedelta(minutes=10)),
        ("-90s", timedelta(seconds=90)),
        ("-2h", timedelta(hours=2)),
        ("-7d", timedelta(days=7)),
    ],
)
def test_a_span_counts_back_from_now(text: str, ago: timedelta) -> None:
    assert since(text, NOW) == NOW - ago


def test_the_ends_of_the_topic_have_names() -> None:
    assert since("latest", NOW) == "latest"
    assert since("earliest", NOW) == "earliest"


def test_a_time_may_name_its_offset_or_be_local() -> None:
    assert since("2026-11-23T12:30:00+01:00", NOW) == datetime(2026, 11, 23, 11, 30, tzinfo=UTC)
    local = since("2026-11-23T12:30", NOW)
    assert isinstance(local, datetime)
    assert local.tzinfo is not None


@pytest.mark.parametrize("text", ["", "-10", "-10w", "noon", "-1m-", "0001-01-01T00:00+23:59", "999999d", "-999999d"])
def test_anything_else_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(MomentError, match="write latest, earliest, -10m"):
        since(text, NOW)
