"""From fetched bytes to records: what cannot be used is put on record and passed over."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from streams.domain.deadletters import DeadLetter, UnusableError
from streams.ports import DeadLetters, Fetched

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Intake(Generic[T]):
    """How a stage reads its topic."""

    decode: Callable[[Fetched], T]  #: raises UnusableError
    letter: Callable[[Fetched, UnusableError], DeadLetter]
    dead_letters: DeadLetters

    async def read(self, records: Iterable[Fetched]) -> list[T]:
        """The usable records, in order; returns once the broker has the dead letters of the others."""
        usable: list[T] = []
        letters: list[DeadLetter] = []
        for record in records:
            try:
                usable.append(self.decode(record))
            except UnusableError as error:
                letters.append(self.letter(record, error))
        if letters:
            await self.dead_letters.put(letters)
        return usable
