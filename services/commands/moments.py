"""Points in time as people type them."""

import re
from contextlib import suppress
from datetime import datetime, timedelta

from streams.kafka.publish import Since

_AGO = re.compile(r"-?(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class MomentError(ValueError):
    """A time cannot be read. Says how to write it."""


def since(text: str, now: datetime) -> Since:
    """From where to read a topic."""
    match text:
        case "latest":
            return "latest"
        case "earliest":
            return "earliest"
    if ago := _AGO.fullmatch(text):
        with suppress(OverflowError):  # before the first year that there is
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    return moment(text, "--since", "latest, earliest, -10m (s, m, h, d), or ")


def moment(text: str, option: str, choices: str = "") -> datetime:
    """A time in ISO form; without an offset it is this machine's local time."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise MomentError(f"{option} {text!r}: write {choices}a time such as 2026-11-23T14:30:00+01:00") from None
