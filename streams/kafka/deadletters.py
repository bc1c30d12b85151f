"""Unusable records, put on record by what they were and where they lie."""

from collections.abc import Sequence
from hashlib import sha256

from streams.domain.deadletters import DeadLetter, UnusableError
from streams.kafka.cloudevents import AUDIO, TYPES, WINDOW, encode_deadletter
from streams.kafka.envelope import raw_headers
from streams.ports import Fetched, Sender


def dead_letter(record: Fetched, error: UnusableError, call: str | None = None) -> DeadLetter:
    """What may be said of `record`: of its payload its size and an audio's hash, its type only if it is one of ours.

    A text's hash is left out as well: a phone number in it could be found by trying them all.
    """
    value = record.value or b""
    type_ = raw_headers(record).get("ce_type", b"").decode(errors="replace")
    return DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        reason=error.reason,
        message=str(error),
        type=type_ if type_ in TYPES else None,
        size=len(value),
        sha256=sha256(value).hexdigest() if type_ in {AUDIO, WINDOW} else None,
        call=call,
    )


class KafkaDeadLetters:
    """`DeadLetters` on `deadletters.v1`."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        """Return once the broker has acknowledged every letter."""
        await self._sender.send([encode_deadletter(letter) for letter in letters])
