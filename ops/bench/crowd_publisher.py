"""Two-channel calls in real time, encoded before the first is sent: `crowd_publisher.py BOOTSTRAP CALLS SECONDS`.

Prints when it began and when it ended (s since 1970) and how late a record was at worst (s).
"""

import asyncio
import gc
import json
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from operator import itemgetter

from aiokafka import AIOKafkaProducer
from segment import CHUNK_MS, RATE, STARTED, talk

from streams.domain.records import Audio, CallRecord, Encoding
from streams.kafka.cloudevents import encode_call
from streams.ports import Outgoing
from streams.speech.decode import encode

VOICES = 16  #: calls share so many recordings
ARRIVING_S = 2.0  #: until all calls are on


def encoded(calls: int, seconds: int) -> list[tuple[float, Outgoing]]:
    """Each record of every call, and when it is due."""
    size = CHUNK_MS * RATE // 1000
    voices = [
        [encode(Encoding.PCMU, voice[:, start : start + size]) for start in range(0, voice.shape[1], size)]
        for voice in talk(VOICES, seconds)
    ]
    due = [each for call in range(calls) for each in _call(voices[call % VOICES], call * ARRIVING_S / calls)]
    return sorted(due, key=itemgetter(0))


def _call(chunks: Sequence[bytes], begins_s: float) -> Iterator[tuple[float, Outgoing]]:
    call_id, at = f"call-{uuid.uuid4()}", datetime.now(UTC)
    yield begins_s, encode_call(CallRecord(call_id, 0, 0, at, STARTED))
    for number, chunk in enumerate(chunks):
        record = CallRecord(call_id, number + 1, number * CHUNK_MS, at, Audio(Encoding.PCMU, RATE, 2, chunk))
        yield begins_s + (number + 1) * CHUNK_MS / 1000, encode_call(record)


async def publish(bootstrap: str, due: Sequence[tuple[float, Outgoing]]) -> dict[str, float]:
    """Send every record when it is due."""
    late_s = 0.0
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5, max_batch_size=1 << 18) as producer:
        began, clock = time.time(), time.monotonic()
        for due_s, record in due:
            early_s = clock + due_s - time.monotonic()
            late_s = max(late_s, -early_s)
            if early_s > 0.005:
                await asyncio.sleep(early_s)
            await producer.send(record.topic, record.value, key=record.key, headers=list(record.headers))
    return {"began": began, "ended": time.time(), "late_s": late_s}


bootstrap, calls, seconds = sys.argv[1:]
records = encoded(int(calls), int(seconds))
gc.freeze()
print(json.dumps(asyncio.run(publish(bootstrap, records)) | {"records": len(records)}))
