"""Whether the service is alive: its event loop runs, its threads get on where they are at work, its GPU is not lost."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

TOUCH_S = 1.0
STUCK_S = 120.0  #: longer than any request takes; by then its client has gone


class Pulse:
    """Touches `file` every second while the service is alive; whoever reads its age needs no answer from it."""

    def __init__(self, file: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._clock = file, clock
        self._at_work = 0
        self._moved_at = clock()
        self._ended = False

    @contextmanager
    def working(self) -> Iterator[None]:
        """While the block runs a thread has something to do, or it waits for one."""
        if not self._at_work:
            self._moved_at = self._clock()
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1
            self._moved_at = self._clock()

    @property
    def live(self) -> bool:
        """Whether the threads have nothing to do or finished something lately, and no end has come."""
        return not self._ended and (not self._at_work or self._clock() - self._moved_at < STUCK_S)

    def end(self) -> None:
        """Be alive no more: only another process can do the work."""
        self._ended = True

    def look(self) -> None:
        """Touch the file where all is well."""
        if self._file is not None and self.live:
            self._file.touch()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(TOUCH_S)
            self.look()
