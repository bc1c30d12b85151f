"""`odd_publisher.py BOOTSTRAP TOPIC PARTITION`: publishes a record with a header whose name is not UTF-8.

librdkafka's clients can; of aiokafka only its Python form, with a text that encodes to something else.
"""

import asyncio
import os
import sys

os.environ["AIOKAFKA_NO_EXTENSIONS"] = "1"

from aiokafka import AIOKafkaProducer


class Odd(str):
    """A text that UTF-8 does not have."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe"


async def publish(bootstrap: str, topic: str, partition: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        await producer.send_and_wait(topic, b"odd", partition=partition, headers=[(Odd("name"), b"")])


asyncio.run(publish(sys.argv[1], sys.argv[2], int(sys.argv[3])))
