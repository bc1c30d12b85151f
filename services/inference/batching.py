"""Windows of many requests judged together: what waits while a batch is judged is the next batch.

So an idle service judges at once, and the more requests wait, the fatter are its batches. Requests for bundles that
hear alike go in one batch, so that their windows share a pass of the encoder; each bundle judges its own.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import accumulate, pairwise, repeat
from typing import Generic, Protocol, TypeVar

from services.emotion.model import Judgements
from services.inference.model import Sent


class Judge(Protocol):
    """A bundle, as far as batches go by it."""

    @property
    def hears(self) -> Hashable:
        """Judges with the same may be asked together."""


Asked = TypeVar("Asked", bound=Judge)


class LateError(Exception):
    """Windows waited for their turn for longer than anybody waits for a reply: they were not judged."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting(Generic[Asked]):
    judge: Asked
    windows: Sequence[Sent] = field(repr=False)
    deadline: float
    judged: asyncio.Future[Judgements]

    @property
    def seconds(self) -> float:
        return sum(window.seconds for window in self.windows)


class Batching(Generic[Asked]):
    """`threads` judge `count` batches at a time, each of at most so many `seconds` of audio, or one larger request.

    `work` is given judges that hear alike, each once and with its windows.
    """

    def __init__(
        self,
        threads: Executor,
        count: int,
        work: Callable[[Sequence[tuple[Asked, Sequence[Sent]]]], Sequence[Judgements]],
        *,
        seconds: float,
        wait_s: float,
    ) -> None:
        self._threads, self._free, self._work = threads, count, work
        self._seconds, self._wait_s = seconds, wait_s
        self._queue: deque[_Waiting[Asked]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def judged(self, judge: Asked, windows: Sequence[Sent]) -> Judgements:
        """What `judge` says of these windows, given to it together with those of others.

        Raises LateError after `wait_s` without a turn, else what judging the batch raised.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(judge, windows, loop.time() + self._wait_s, loop.create_future())
        self._queue.append(waiting)
        self._start()
        late = loop.call_at(waiting.deadline, self._drop)  # the batches before it may last longer
        try:
            return await waiting.judged
        except asyncio.CancelledError:
            self._drop()  # now: a queue of those who have gone is bounded by nothing
            raise
        finally:
            late.cancel()
            del waiting, windows  # an error holds this frame, and what holds the error must not be held by it

    def _start(self) -> None:
        while self._free and (batch := self._next()):
            self._free -= 1
            task = asyncio.create_task(self._run(batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _next(self) -> list[_Waiting[Asked]]:
        """The oldest that somebody still waits for, and of those after it, in order, what can be judged with it."""
        self._drop()
        batch: list[_Waiting[Asked]] = []
        left: deque[_Waiting[Asked]] = deque()
        room = self._seconds
        for waiting in self._queue:
            alike = not batch or waiting.judge.hears == batch[0].judge.hears
            if alike and (not batch or waiting.seconds <= room):
                batch.append(waiting)
                room -= waiting.seconds
            else:
                left.append(waiting)
                room = 0 if alike else room  # who came later does not go first
        self._queue = left
        return batch

    def _drop(self) -> None:
        """Those that nobody waits for any more, or have waited for too long."""
        now = asyncio.get_running_loop().time()
        for waiting in self._queue:
            if waiting.deadline <= now and not waiting.judged.done():
                waiting.judged.set_exception(LateError())
        self._queue = deque(waiting for waiting in self._queue if not waiting.judged.done())

    async def _run(self, batch: Sequence[_Waiting[Asked]]) -> None:
        groups = _by_judge(batch)
        parts = [(group[0].judge, [each for waiting in group for each in waiting.windows]) for group in groups]
        try:
            for group, found in zip(groups, await self._worked(parts), strict=True):
                for waiting, part in zip(group, _told(group, found), strict=True):
                    _tell(waiting.judged, part)
        finally:
            self._free += 1
            self._start()

    async def _worked(self, parts: Sequence[tuple[Asked, Sequence[Sent]]]) -> Sequence[Judgements | Exception]:
        """What `work` says of each part, or what it raised: an error holds this frame, which holds nobody who waits."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._work, parts)
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            return [error] * len(parts)


def _by_judge(batch: Sequence[_Waiting[Asked]]) -> list[list[_Waiting[Asked]]]:
    """In the order in which the judges come first."""
    groups: dict[int, list[_Waiting[Asked]]] = {}
    for waiting in batch:
        groups.setdefault(id(waiting.judge), []).append(waiting)
    return list(groups.values())


def _told(group: Sequence[_Waiting[Asked]], found: Judgements | Exception) -> Iterator[Judgements | Exception]:
    """What is to be told to each of those who wait for the same judge."""
    if isinstance(found, Exception):
        return repeat(found, len(group))
    return split(found, [len(each.windows) for each in group])


def split(judged: Judgements, counts: Sequence[int]) -> Iterator[Judgements]:
    """The judgements of the first `counts[0]` windows, of the `counts[1]` after them, and so on."""
    for start, end in pairwise(accumulate(counts, initial=0)):
        yield Judgements(
            judged.reasons[start:end],
            {head: rows[start:end] for head, rows in judged.classes.items()},
            {head: rows[start:end] for head, rows in judged.probabilities.items()},
        )


def _tell(judged: asyncio.Future[Judgements], found: Judgements | Exception) -> None:
    if judged.done():
        return
    if isinstance(found, Exception):
        judged.set_exception(found)
    else:
        judged.set_result(found)
