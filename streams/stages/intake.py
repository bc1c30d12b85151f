"""From fetched bytes to records: what cannot be used is put on record and passed over."""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from streams.domain.deadletters import DeadLetter, UnusableError
from streams.kafka.deadletters import dead_letter
from streams.metrics import Metrics
from streams.ports import DeadLetters, Fetched

T = TypeVar("T")
PSEUDONYM = re.compile("[0-9a-f]{64}")


async def usable(
    records: Sequence[Fetched], decode: Callable[[Fetched], T], *, kind: str, letters: DeadLetters, metrics: Metrics
) -> list[T]:
    """The records that `decode` does not refuse, in order; the broker has the dead letters of the others."""
    decoded: list[T] = []
    refused: list[DeadLetter] = []
    for record in records:
        try:
            decoded.append(decode(record))
        except UnusableError as error:
            refused.append(dead_letter(record, error, call=named(record)))
            metrics.count("dead_letters", reason=error.reason)
    metrics.count("records", len(decoded), type=kind, outcome="handled")
    metrics.count("records", len(refused), type=kind, outcome="dead")
    if records:
        metrics.share("dead_letter_share", len(refused), of=len(records), partition=str(records[0].partition))
    if refused:
        await letters.put(refused)
    return decoded


def named(record: Fetched) -> str | None:
    """The pseudonym that a dead letter may carry: the key where it is one; anything else could be a raw call id."""
    key = (record.key or b"").decode(errors="replace")
    return key if PSEUDONYM.fullmatch(key) else None
