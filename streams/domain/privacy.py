"""Pseudonyms and derived ids: what replaces a raw call id everywhere after the segment stage."""

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from unicodedata import normalize
from urllib.parse import unquote
from uuid import UUID, uuid5

#: Names windows and escalations; a constant, so that a replay derives the ids of the first pass.
NAMESPACE = UUID("5b0f6c1e-6f0a-5f52-9d53-7d1f0c0a9b4e")


@dataclass(frozen=True, slots=True)
class Epoch:
    """A pseudonym key and when it comes into use. Destroying the key ends every way back to the call."""

    id: str
    key: bytes = field(repr=False)
    not_before: datetime


def epoch_at(epochs: Sequence[Epoch], at: datetime) -> Epoch | None:
    """The epoch in use at the log's time `at`; None before the first."""
    live = [epoch for epoch in epochs if epoch.not_before <= at]
    return max(live, key=lambda epoch: epoch.not_before, default=None)


def pseudonym(epoch: Epoch, call_id: str) -> str:
    """HMAC-SHA256 over the raw call id, in hex."""
    return hmac.digest(epoch.key, b"call:" + call_id.encode(), "sha256").hex()


def window_id(call: str, role: str, start_ms: int) -> str:
    """The id of the window of `call` that starts at `start_ms`, the same on every replay."""
    return str(uuid5(NAMESPACE, f"window:{call}:{role}:{start_ms}"))


def escalation_id(call: str, rule: str, window: str) -> str:
    """The id of the escalation that `rule` raises at `window`, the same on every replay."""
    return str(uuid5(NAMESPACE, f"escalation:{call}:{rule}:{window}"))


#: A run of digits with phone punctuation that no letter or hyphen touches (a UUID's groups are touched).
_NUMBER = re.compile(r"(?<![\w-])\+?\(?\d(?:[ ().\-/]*\d){6,}(?![\w-])")
_DIGITS = 15 + 2  #: E.164, and the 00 before it


def looks_personal(reference: str) -> bool:
    """Whether `reference` holds what looks like a phone number (7 to 17 digits by themselves) or an e-mail address."""
    text = _plain(reference)
    numbers = (sum(map(str.isdigit, found)) for found in _NUMBER.findall(text))
    return "@" in text or any(digits <= _DIGITS for digits in numbers)


_DATE = re.compile(r"20\d\d-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)


def is_date(text: str) -> bool:
    """Whether `text` is a day of this century and nothing beside it but a time: `2026-11-23`, `2026-11-23 12:00`.

    A phone number could be written so only by grouping it by 4, 2 and 2 into a year from 2000 to 2099, a month and a
    day that this month has.
    """
    try:
        return _DATE.fullmatch(text) is not None and bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def names_call(text: str, call_id: str) -> bool:
    """Whether `text` holds the raw call id, in whatever case, width or URL encoding.

    An id of one or two characters would be found in every language and version: it counts where it is the whole text.
    """
    pairs = [(said.casefold(), name.casefold()) for said, name in ((text, call_id), (_plain(text), _plain(call_id)))]
    return any(name in said if len(call_id) > 2 else name == said for said, name in pairs)


def _plain(text: str) -> str:
    return normalize("NFKC", unquote(text))
