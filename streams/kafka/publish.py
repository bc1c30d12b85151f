"""Publish a call, follow a topic: what a site's own programs do, and the `undertone` command."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import islice
from typing import Literal, TypeVar

from aiokafka import AIOKafkaConsumer

from streams.domain.deadletters import UnusableError
from streams.domain.records import Audio, CallRecord, Gap
from streams.kafka.admin import partitions_of
from streams.kafka.cloudevents import encode_call
from streams.kafka.connection import connection
from streams.ports import Fetched, Sender
from streams.settings import Settings

T = TypeVar("T")
Since = Literal["earliest", "latest"] | datetime

BATCH = 100  #: records of an unpaced call that are sent together

log = logging.getLogger(__name__)


class NoTopicError(RuntimeError):
    """There is nothing to follow; the message has the remedy."""


async def publish(records: Iterable[CallRecord], sender: Sender, *, speed: float = 0) -> int:
    """Send one call's records, in order; how many. `speed` 1 is real time, 0 as fast as the broker takes them.

    Calls that are on at the same time are published by as many of these together.
    """
    clock = asyncio.get_running_loop().time
    began, sent = clock(), 0
    for batch in _batches(records, 1 if speed else BATCH):
        if speed:
            await asyncio.sleep(began + _known_at_ms(batch[0]) / 1000 / speed - clock())
        await sender.send([encode_call(record) for record in batch])
        sent += len(batch)
    return sent


def _batches(records: Iterable[CallRecord], size: int) -> Iterator[list[CallRecord]]:
    left = iter(records)
    while batch := list(islice(left, size)):
        yield batch


def _known_at_ms(record: CallRecord) -> int:
    """Media time at which a publisher can have the record: a chunk is there when its last sample is."""
    if isinstance(record.body, Audio | Gap):
        return record.media_ms + record.body.duration_ms
    return record.media_ms


@asynccontextmanager
async def subscribe(
    settings: Settings, topic: str, decode: Callable[[Fetched], T], *, since: Since = "latest"
) -> AsyncIterator[AsyncIterator[T]]:
    """Follow `topic` without a group: nothing is committed, every follower sees everything.

    On entry the place to read from is fixed, so that what is sent afterwards is seen; partitions that are added later
    are followed from their beginning. Records that cannot be read are logged by their place and passed over. Raises
    NoTopicError where the topic does not exist.
    """
    if not await partitions_of(settings, topic):
        raise NoTopicError(f"there is no topic {topic}; run `undertone topics apply`")
    consumer = AIOKafkaConsumer(topic, **connection(settings), auto_offset_reset="earliest")
    try:
        await consumer.start()
        await _place(consumer, since)
        yield _decoded(consumer, decode)
    finally:
        await consumer.stop()


async def _place(consumer: AIOKafkaConsumer, since: Since) -> None:
    partitions = consumer.assignment()
    ends = await consumer.end_offsets(partitions)
    match since:
        case "latest":
            places = ends
        case "earliest":
            places = await consumer.beginning_offsets(partitions)
        case datetime():
            found = await consumer.offsets_for_times(dict.fromkeys(partitions, round(since.timestamp() * 1000)))
            places = {tp: at.offset if (at := found.get(tp)) else ends[tp] for tp in partitions}
    for tp, offset in places.items():
        consumer.seek(tp, offset)


async def _decoded(consumer: AIOKafkaConsumer, decode: Callable[[Fetched], T]) -> AsyncIterator[T]:
    async for record in consumer:
        try:
            yield decode(record)
        except UnusableError as error:
            place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
            log.warning("record passed over", extra=place | {"reason": error.reason})
