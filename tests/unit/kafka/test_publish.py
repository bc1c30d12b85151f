"""Publishing a call: everything, in order, and at the pace that was asked for."""

import asyncio
from datetime import UTC, datetime

from streams.adapters.memory_topics import MemoryTopics
from streams.domain.records import Audio, CallRecord, Encoding, Ended, Gap, Role, Started
from streams.kafka.cloudevents import decode_call
from streams.kafka.publish import publish

AT = datetime(2026, 1, 1, tzinfo=UTC)


def call(seconds: int) -> list[CallRecord]:
    chunks = [Audio(Encoding.PCMU, 8000, 1, bytes(8000)) for _ in range(seconds)]
    bodies = [Started("demo", (Role.CUSTOMER,), "de"), *chunks, Gap(1000, "paused"), Ended("hangup")]
    media = [0, *(1000 * second for second in range(seconds + 2))]
    return [CallRecord("call-1", n, ms, AT, body) for n, (ms, body) in enumerate(zip(media, bodies, strict=True))]


async def test_a_call_is_published_whole_and_in_order() -> None:
    topics = MemoryTopics(partitions=3)
    records = call(250)
    assert await publish(iter(records), topics) == 253
    assert [decode_call(record) for record in topics.read("calls.v1")] == records


async def test_at_a_given_speed_a_chunk_is_sent_when_its_last_sample_is_there() -> None:
    sent: list[tuple[float, int]] = []
    clock = asyncio.get_running_loop().time

    class Noting(MemoryTopics):
        async def send(self, records: object) -> None:
            (record,) = records
            sent.append((clock() - began, int(dict(record.headers)["ce_sequence"])))

    began = clock()
    await publish(call(2), Noting(), speed=50)
    assert [sequence for _, sequence in sent] == [0, 1, 2, 3, 4]
    for (at, _), due_s in zip(sent, (0, 1, 2, 3, 3), strict=True):
        assert at >= due_s / 50
