"""Finds the record at which the process dies again and again, and puts it on record instead of handling it.

From a start until its commits get on, each batch of a partition is put on record before it is handled. A batch that
was begun and never done is worked record by record by the next process, so that the culprit is named. After that
nothing is put on record any more.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace

from streams.domain.deadletters import Reason, UnusableError
from streams.kafka.deadletters import dead_letter
from streams.metrics import Metrics
from streams.ports import Attempts, Batch, DeadLetters, Fetched, Stage

#: A record that was begun alone this often before is the culprit: it died so at least twice. The third is the margin
#: for the batch that it may have headed, or for a COMMIT whose reply was lost.
BEGUN = 3
SETTLED_S = 5.0  #: after the start's first record was passed; by then the broker has the commit that says so
PATIENCE_S = 5.0  #: between two looks whether a record waits for something that is down

_KILLED = UnusableError(Reason.KILLED_WORKER, "the process died at this record twice: report it, do not send it again")


@dataclass(slots=True)
class _Watch:
    """One assignment of a partition. `suspects` were begun by an earlier process and not done."""

    first: int
    suspects: frozenset[int]
    durable: int | None = None
    passed_over: set[int] = field(default_factory=set)
    settled_at: float | None = None

    def advance(self, durable: int | None, now: float) -> None:
        if durable is None:
            return
        while durable in self.passed_over:
            durable += 1  # the stage never saw it
        self.durable = max(durable, self.durable or 0)
        if self.settled_at is None and durable > self.first:
            self.settled_at = now + SETTLED_S

    def left_behind(self) -> set[int]:
        """Those passed over that no restart reads again: until then they stay on record, or they would kill anew."""
        left = {offset for offset in self.passed_over if offset < (self.durable or 0)}
        self.passed_over -= left
        return left

    def is_over(self, now: float) -> bool:
        return self.settled_at is not None and now >= self.settled_at


class Careful:
    """A stage around a stage. `name` gives the pseudonym that a dead letter may carry.

    A record that `needed` names is never passed over: the process goes on dying at it, and nothing is committed.
    While the process is `waiting` for what it depends on, its end is no fault of the record at hand.
    """

    def __init__(
        self,
        stage: Stage,
        attempts: Attempts,
        letters: DeadLetters,
        metrics: Metrics,
        *,
        name: Callable[[Fetched], str | None],
        waiting: Callable[[], bool],
        needed: Callable[[Fetched], bool] = lambda _: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stage, self._attempts, self._letters, self._metrics = stage, attempts, letters, metrics
        self._name, self._waiting, self._needed, self._clock = name, waiting, needed, clock
        self._watches: dict[int, _Watch] = {}

    def lost(self, partitions: Collection[int]) -> None:
        """Begin anew with these partitions."""
        self._stage.lost(partitions)
        for number in partitions:
            self._watches.pop(number, None)
            self._metrics.forget("dead_letter_share", partition=str(number))

    async def handle(self, batch: Batch) -> int | None:
        """Let the stage handle the batch, in one piece or record by record."""
        watch = self._watches.get(batch.partition)
        if watch is None and batch.records:
            suspects = await self._attempts.pending(batch.topic, batch.partition)
            watch = self._watches[batch.partition] = _Watch(batch.records[0].offset, suspects)
        if watch is None:
            return await self._stage.handle(batch)
        if not batch.records or watch.is_over(self._clock()):
            watch.advance(await self._stage.handle(batch), self._clock())
        else:
            for part in _parts(batch, watch.suspects):
                await self._attempt(part, watch)
        await self._forget(batch, watch.left_behind())
        return watch.durable

    async def _attempt(self, part: Batch, watch: _Watch) -> None:
        first = part.records[0]
        begun = await self._attempts.begin(part.topic, part.partition, first.offset)
        if begun > BEGUN and len(part.records) == 1 and not self._needed(first):
            await self._letters.put([dead_letter(first, _KILLED, call=self._name(first))])
            self._metrics.count("dead_letters", reason=_KILLED.reason)
            self._metrics.share("dead_letter_share", 1, of=1, partition=str(first.partition))
            watch.passed_over.add(first.offset)
            watch.advance(first.offset if watch.durable is None else watch.durable, self._clock())
        else:
            watch.advance(await self._patiently(part), self._clock())
            await self._forget(part, [first.offset])

    async def _patiently(self, part: Batch) -> int | None:
        """Take the attempt back once it waits for something that is down; where it just hangs, it stays on record."""
        handling = asyncio.ensure_future(self._stage.handle(part))
        try:
            while not (await asyncio.wait({handling}, timeout=PATIENCE_S))[0]:
                if self._waiting():
                    await self._forget(part, [part.records[0].offset])
                    break
            return await handling
        finally:
            handling.cancel()  # where this was

    async def _forget(self, batch: Batch, offsets: Collection[int]) -> None:
        if offsets:
            await self._attempts.done(batch.topic, batch.partition, offsets)


def _parts(batch: Batch, suspects: Collection[int]) -> Iterator[Batch]:
    """The batch in one piece, or from its first suspect on record by record."""
    offsets = [record.offset for record in batch.records]
    whole = next((index for index, offset in enumerate(offsets) if offset in suspects), len(offsets))
    if whole:
        yield replace(batch, records=batch.records[:whole])
    for record in batch.records[whole:]:
        yield replace(batch, records=(record,))
