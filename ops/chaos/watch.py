"""Looks at a run while it goes on: what the broker has committed, sampled, and whether everything has settled."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import psycopg
from aiokafka.errors import KafkaError

from ops.chaos.site import Site
from streams.app import SOURCES, group
from streams.kafka.connection import connection
from streams.kafka.liveness import Position
from streams.kafka.positions import Positions

SAMPLE_S = 0.25
ASK_S = 5.0
Seen = Mapping[str, Mapping[int, Position]]  #: stage -> partition -> position


@dataclass(frozen=True, slots=True)
class Sample:
    """What the broker said between `asked_at` and `at` (seconds since 1970)."""

    asked_at: float
    at: float
    positions: Seen


@dataclass(slots=True)
class Watch:
    """The samples of a run, oldest first."""

    samples: list[Sample] = field(default_factory=list)

    def last(self) -> Seen:
        """The newest positions."""
        return self.samples[-1].positions if self.samples else {}

    def recovered_s(self, since: float) -> float | None:
        """Seconds from `since` until every partition that was behind then had committed more; None: never seen."""
        before = [sample for sample in self.samples if sample.at <= since]
        if not before:
            return None
        owed = {
            (stage, partition): said.committed
            for stage, positions in before[-1].positions.items()
            for partition, said in positions.items()
            if said.lag
        }
        for sample in self.samples[len(before) :]:
            owed = {place: was for place, was in owed.items() if _committed(sample, *place) <= was}
            if not owed:
                return sample.at - since
        return None

    def idle_s(self, since: float, mended: Sequence[float]) -> float:
        """The part of it that comes after the last of the moments `mended`; until the last sample where it never was.

        What was broken anew meanwhile holds up a partition too; once nothing is, there is no excuse.
        """
        if not self.samples or self.samples[0].at > since:
            return 0.0
        recovered_s = self.recovered_s(since)
        until = self.samples[-1].at if recovered_s is None else since + recovered_s
        return until - max([since, *(moment for moment in mended if moment <= until)])


def _committed(sample: Sample, stage: str, partition: int) -> int:
    return sample.positions[stage][partition].committed


@asynccontextmanager
async def watching(site: Site) -> AsyncIterator[Watch]:
    """Sample while the block runs."""
    watch = Watch()
    task = asyncio.create_task(_sample_often(site, watch))
    try:
        yield watch
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _sample_often(site: Site, watch: Watch) -> None:
    while True:
        with suppress(KafkaError, OSError, RuntimeError):  # the broker is away: that is what runs are about
            await _sample_while_it_answers(site, watch)
        await asyncio.sleep(SAMPLE_S)


async def _sample_while_it_answers(site: Site, watch: Watch) -> None:
    async with Positions(connection(site.settings)) as positions:
        while True:
            asked_at = time.time()
            async with asyncio.timeout(ASK_S):
                said = {stage: await positions.read(group(stage), topic.name) for stage, topic in SOURCES.items()}
            watch.samples.append(Sample(asked_at, time.time(), said))
            await asyncio.sleep(SAMPLE_S)


async def settled(site: Site, watch: Watch, *, patience_s: float) -> float | None:
    """Seconds until nothing was left to do, since now; None where that took too long.

    A sample asks stage after stage in the order of the stream, so lag 0 in one means that nothing is upstream.
    """
    began = time.time()
    while time.time() - began < patience_s:
        await asyncio.sleep(SAMPLE_S)
        fresh = watch.samples and watch.samples[-1].asked_at > began
        if fresh and not _behind(watch.last()) and not await asyncio.to_thread(_unsent, site):
            return time.time() - began
    return None


def _behind(seen: Seen) -> int:
    return sum(position.lag for positions in seen.values() for position in positions.values())


def _unsent(site: Site) -> bool:
    try:
        with psycopg.connect(site.settings.postgres.get_secret_value(), connect_timeout=5) as connected:
            return connected.execute("SELECT FROM outbox WHERE sent_at IS NULL LIMIT 1").fetchone() is not None
    except psycopg.OperationalError:
        return True
