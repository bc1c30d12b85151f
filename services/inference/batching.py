"""Windows of many requests judged together: what waits while a batch is judged is the next batch.

So an idle service judges at once, and the more requests wait, the fatter are its batches.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from services.emotion.model import Judgements
from services.inference.model import Sent

Judge = Callable[[Sequence[Sent]], Judgements]


class LateError(Exception):
    """Windows waited for their turn for longer than anybody waits for a reply: they were not judged."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    judge: Judge
    windows: Sequence[Sent] = field(repr=False)
    deadline: float
    judged: asyncio.Future[Judgements]

    @property
    def seconds(self) -> float:
        return sum(window.seconds for window in self.windows)


class Batching:
    """`threads` judge `count` batches at a time, each of at most so many `seconds` of audio, or one larger request."""

    def __init__(self, threads: Executor, count: int, *, seconds: float, wait_s: float) -> None:
        self._threads, self._free = threads, count
        self._seconds, self._wait_s = seconds, wait_s
        self._queue: deque[_Waiting] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def judged(self, judge: Judge, windows: Sequence[Sent]) -> Judgements:
        """What `judge` says of these windows, given to it together with those of others.

        Raises LateError after `wait_s` without a turn, else what judging the batch raised.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(judge, windows, loop.time() + self._wait_s, loop.create_future())
        self._queue.append(waiting)
        self._start()
        return await waiting.judged

    def _start(self) -> None:
        while self._free and (batch := self._next()):
            self._free -= 1
            task = asyncio.create_task(self._run(batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _next(self) -> list[_Waiting]:
        """The oldest that somebody still waits for, and after it, in order, what its judge can take besides."""
        batch: list[_Waiting] = []
        room, now = self._seconds, asyncio.get_running_loop().time()
        while self._queue:
            waiting = self._queue[0]
            if waiting.judged.done():  # its client has gone
                self._queue.popleft()
            elif waiting.deadline < now:
                self._queue.popleft().judged.set_exception(LateError())
            elif batch and (waiting.seconds > room or waiting.judge is not batch[0].judge):
                break
            else:
                batch.append(self._queue.popleft())
                room -= waiting.seconds
        return batch

    async def _run(self, batch: Sequence[_Waiting]) -> None:
        windows = [window for waiting in batch for window in waiting.windows]
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, batch[0].judge, windows)
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            for waiting in batch:
                _tell(waiting.judged, error)
        else:
            for waiting, part in zip(batch, split(found, [len(each.windows) for each in batch]), strict=True):
                _tell(waiting.judged, part)
        finally:
            self._free += 1
            self._start()


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
