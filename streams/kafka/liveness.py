"""Whether a worker is alive: not that it answers, but that it gets on, or waits for something that it named.

Live: the event loop is not blocked, the consumer fetched in the last minute, no rebalance has lasted two, and every
partition is at its end or had its *broker-committed* offset move in the last 75 s. A worker that waits for what it
depends on is live and not ready. The verdict is a file's age: whoever reads it needs no answer from the worker.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from streams.metrics import Metrics

LOOP_LAG_S = 5.0
FETCH_S = 60.0
MOVED_S = 75.0  #: a turn may hold a commit back for 30 s, and the idle limit for 30 more
REBALANCING_S = 120.0
TOUCH_S = 1.0
ASK_S = 5.0  #: between two questions to the broker
KAFKA = "kafka"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Position:
    """What the broker says of one partition."""

    committed: int  #: the next offset of the group; the partition's beginning where nothing is committed
    end: int
    lost: int = 0  #: records that retention took before the group had committed them

    @property
    def lag(self) -> int:
        """Records that the group has not done with."""
        return max(0, self.end - self.committed)


@dataclass(frozen=True, slots=True)
class _Mark:
    committed: int
    moved_at: float


@dataclass(frozen=True, slots=True)
class Signs:
    """The state over everything that was seen of one worker; times in seconds of a monotonic clock."""

    fetched_at: float
    looked_at: float  #: when the event loop last had time to look
    rebalancing_since: float | None = None
    waiting: frozenset[str] = frozenset()
    marks: Mapping[int, _Mark] = field(default_factory=dict)


def moved(signs: Signs, positions: Mapping[int, Position], now: float) -> Signs:
    """Take in what the broker says; a partition counts as moving while it is at its end or not yet known."""

    def mark(partition: int, position: Position) -> _Mark:
        known = signs.marks.get(partition)
        still = known is not None and known.committed == position.committed and position.lag > 0
        return known if known is not None and still else _Mark(position.committed, now)

    return replace(signs, marks={partition: mark(partition, said) for partition, said in positions.items()})


def complaints(signs: Signs, now: float) -> tuple[str, ...]:
    """Why the worker is not live; empty where it is."""
    if now - signs.looked_at >= TOUCH_S + LOOP_LAG_S:
        return ("the event loop is blocked",)
    if signs.waiting:
        return ()
    since = signs.rebalancing_since
    found = {
        "nothing was fetched for a minute": now - signs.fetched_at >= FETCH_S,
        "a rebalance does not end": since is not None and now - since >= REBALANCING_S,
        "a partition's committed offset stands still": since is None
        and any(now - mark.moved_at >= MOVED_S for mark in signs.marks.values()),
    }
    return tuple(complaint for complaint, holds in found.items() if holds)


def is_ready(signs: Signs, now: float) -> bool:
    """Whether a record would be handled now."""
    return not signs.waiting and signs.rebalancing_since is None and not complaints(signs, now)


class Liveness:
    """Collects the signs, touches `file` every second while they are good, and shows them as metrics.

    `positions` asks the broker (with a client of its own: a stuck consumer must not vouch for itself) for the
    partitions that the worker holds; None for a worker without a consumer. `waiting` says, for each dependency,
    whether the worker waits for it now.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        file: Path | None,
        positions: Callable[[], Awaitable[Mapping[int, Position]]] | None = None,
        waiting: Mapping[str, Callable[[], bool]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        ask_s: float = ASK_S,
    ) -> None:
        self._metrics, self._file, self._positions, self._clock = metrics, file, positions, clock
        self._ask_s = ask_s
        self._waiting = waiting or {}
        self._broker_answers = True
        self._assigned = asyncio.Event()
        self._lost: dict[int, int] = {}  # as the broker said last
        self.signs = Signs(fetched_at=clock(), looked_at=clock())

    @property
    def live(self) -> bool:
        """Whether the worker gets on, or waits for what it named."""
        return not complaints(self.signs, self._clock())

    @property
    def ready(self) -> bool:
        """Whether a record would be handled now."""
        return is_ready(self.signs, self._clock())

    def progressed(self) -> None:
        """Call it at every fetch, empty ones included."""
        self.signs = replace(self.signs, fetched_at=self._clock())

    def advanced(self) -> None:
        """Call it where a long batch gets on: it counts as its partitions' offsets moving."""
        moved_at = self._clock()
        marks = {partition: replace(mark, moved_at=moved_at) for partition, mark in self.signs.marks.items()}
        self.signs = replace(self.signs, marks=marks)

    def rebalancing(self, going_on: bool) -> None:
        """Call it when partitions are taken away, and again when they are assigned."""
        began = self.signs.rebalancing_since
        since = (self._clock() if began is None else began) if going_on else None
        self.signs = replace(self.signs, rebalancing_since=since, marks={})
        if going_on:
            self._metrics.count("rebalances")
        else:
            self._assigned.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._touch_often())
            if self._positions is not None:
                tasks.create_task(self._ask_often(self._positions))

    async def _touch_often(self) -> None:
        while True:
            due = self._clock() + TOUCH_S
            await asyncio.sleep(TOUCH_S)
            self._metrics.set("loop_lag_seconds", max(0.0, self._clock() - due))
            self.look()

    def look(self) -> None:
        """Judge the signs once; the file is touched where they are good."""
        waiting = {dependency for dependency, waits in self._waiting.items() if waits()}
        if not self._broker_answers:
            waiting.add(KAFKA)
        if self.signs.waiting - waiting:  # what was waited is not held against the worker
            self.progressed()
            self.advanced()
        self.signs = replace(self.signs, looked_at=self._clock(), waiting=frozenset(waiting))
        found = complaints(self.signs, self._clock())
        if found:
            _log.warning("not live", extra={"complaints": found})
        elif self._file is not None:
            self._file.touch()
        self._show()

    def _show(self) -> None:
        self._metrics.set("live", self.live)
        self._metrics.set("ready", self.ready)
        for dependency in {KAFKA, *self._waiting}:
            self._metrics.set("waiting", dependency in self.signs.waiting, dependency=dependency)

    async def _ask_often(self, positions: Callable[[], Awaitable[Mapping[int, Position]]]) -> None:
        while True:
            try:
                async with asyncio.timeout(ASK_S):
                    said = await positions()
            except (OSError, RuntimeError) as error:  # a timeout is an OSError, aiokafka's errors are RuntimeErrors
                self._broker_answers = False
                _log.warning("the broker does not answer", extra={"error": type(error).__name__})
            else:
                self._take_in(said)
            await self._pause()

    async def _pause(self) -> None:
        """Wait until it is time to ask again: at once after an assignment, before a commit covers up what was lost."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._ask_s):
                await self._assigned.wait()
        self._assigned.clear()

    def _take_in(self, said: Mapping[int, Position]) -> None:
        for lost in self.signs.marks.keys() - said.keys():
            for name in ("committed_offset", "lag"):
                self._metrics.forget(name, partition=str(lost))
        for partition, position in said.items():
            self._metrics.set("committed_offset", position.committed, partition=str(partition))
            self._metrics.set("lag", position.lag, partition=str(partition))
        self._count_lost(said)
        self._broker_answers = True
        self.signs = moved(self.signs, said, self._clock())

    def _count_lost(self, said: Mapping[int, Position]) -> None:
        for partition, position in said.items():
            more = position.lost - self._lost.get(partition, 0)
            if more > 0:
                self._metrics.count("offsets_lost", more)
                _log.error(
                    "records were deleted before they were handled", extra={"partition": partition, "records": more}
                )
        self._lost = {partition: position.lost for partition, position in said.items()}
