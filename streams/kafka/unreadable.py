"""Records that aiokafka cannot read: a header's name that is not UTF-8.

aiokafka raises at such a record whenever it is fetched, and lets go of all that it was about to return beside it, of
other partitions too. So who fetches goes back to where it was, and fetches one record at a time up to the unreadable
one; in its place stands a hollow record, which a stage refuses as it refuses any that lacks what the contract asks for.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError

from streams.ports import Fetched

FETCH_BYTES = 1 << 20  #: of one partition, read at a time
AT_END_MS = 1_000  #: without a record, after which a partition has no more for now


@dataclass(slots=True)
class Hollow:
    """What is known of a record that cannot be read: its place."""

    topic: str
    partition: int
    offset: int
    timestamp: int = -1  #: none
    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()


async def fetch_again(
    consumer: AIOKafkaConsumer, next_offsets: Mapping[TopicPartition, int | None]
) -> dict[TopicPartition, list[Fetched]]:
    """The records from `next_offsets` on (None: from what is committed) up to the first that cannot be read of each.

    A partition that is revoked meanwhile is left out, or comes with records of an assignment that is over.
    """
    found: dict[TopicPartition, list[Fetched]] = {}
    for tp, offset in next_offsets.items():  # all first: a record fetched of one is not let go of for another
        with suppress(IllegalStateError):
            consumer.seek(tp, await _committed(consumer, tp) if offset is None else offset)
    for tp in next_offsets:
        with suppress(IllegalStateError):
            found[tp] = await _up_to_unreadable(consumer, tp)
    return found


async def _committed(consumer: AIOKafkaConsumer, tp: TopicPartition) -> int:
    committed: int | None = await consumer.committed(tp)
    if committed is None:
        committed = (await consumer.beginning_offsets([tp]))[tp]
    return committed


async def _up_to_unreadable(consumer: AIOKafkaConsumer, tp: TopicPartition) -> list[Fetched]:
    records: list[Fetched] = []
    nbytes = 0
    try:
        while nbytes < FETCH_BYTES:
            fetched = (await consumer.getmany(tp, timeout_ms=AT_END_MS, max_records=1)).get(tp)
            if not fetched:
                break
            records += fetched
            nbytes += len(fetched[0].value or b"")
    except UnicodeDecodeError:
        offset = await consumer.position(tp)
        consumer.seek(tp, offset + 1)
        records.append(Hollow(tp.topic, tp.partition, offset))
    return records
