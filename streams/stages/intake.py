"""From fetched bytes to records: what cannot be used is put on record and passed over."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from streams.domain.deadletters import DeadLetter, UnusableError
from streams.kafka.deadletters import dead_letter
from streams.metrics import Metrics
from streams.ports import DeadLetters, Fetched

T = TypeVar("T")


async def usable(
    records: Sequence[Fetched], decode: Callable[[Fetched], T], *, letters: DeadLetters, metrics: Metrics
) -> list[T]:
    """The records that `decode` does not refuse, in order; the broker has the dead letters of the others."""
    decoded: list[T] = []
    refused: list[DeadLetter] = []
    for record in records:
        try:
            decoded.append(decode(record))
        except UnusableError as error:
            refused.append(dead_letter(record, error))
            metrics.count("dead_letters", reason=error.reason)
    if refused:
        await letters.put(refused)
    return decoded
