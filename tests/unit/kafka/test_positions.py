"""Asking the broker again and again: a client that no longer finds it is replaced."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Self

import pytest
from aiokafka.errors import KafkaConnectionError

from streams.kafka.liveness import Position
from streams.kafka.positions import REMAKE, Enquiry

SAID = {0: Position(3, 5)}


@dataclass
class Cluster:
    """Brokers at an address; `silent` ones take a question and never answer."""

    address: int = 1
    silent: bool = False
    clients: list["Client"] = field(default_factory=list)

    def connect(self) -> "Client":
        self.clients.append(Client(self))
        return self.clients[-1]

    def enquiry(self) -> Enquiry:
        return Enquiry(self.connect, "undertone.label", "windows.v1", lambda: [0])


@dataclass
class Client:
    """A client that knows the brokers by the address that they had when it began."""

    cluster: Cluster
    known: int = 0
    closed: int = 0

    async def __aenter__(self) -> Self:
        if not self.cluster.address:
            raise KafkaConnectionError
        self.known = self.cluster.address
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closed += 1

    async def read(self, group: str, topic: str, partitions: Collection[int]) -> Mapping[int, Position]:
        assert (group, topic, list(partitions)) == ("undertone.label", "windows.v1", [0])
        if self.known != self.cluster.address:
            raise KafkaConnectionError
        if self.cluster.silent:
            await asyncio.Event().wait()
        return SAID


async def failing(enquiry: Enquiry, times: int) -> None:
    for _ in range(times):
        with pytest.raises((KafkaConnectionError, TimeoutError)):
            async with asyncio.timeout(0):
                await enquiry.ask()


async def test_brokers_whose_every_address_has_changed_are_found_again() -> None:
    cluster = Cluster()
    enquiry = cluster.enquiry()
    assert await enquiry.ask() == SAID
    cluster.address = 2
    await failing(enquiry, REMAKE)
    assert await enquiry.ask() == SAID
    assert [client.closed for client in cluster.clients] == [1, 0]


async def test_a_question_that_is_given_up_because_nobody_answers_is_a_failure() -> None:
    cluster = Cluster(silent=True)
    enquiry = cluster.enquiry()
    await failing(enquiry, REMAKE + 1)
    assert [client.closed for client in cluster.clients] == [1, 0]


async def test_brokers_that_are_away_and_come_back_keep_their_client() -> None:
    cluster = Cluster()
    enquiry = cluster.enquiry()
    for _ in range(3):
        cluster.address = 1
        assert await enquiry.ask() == SAID
        cluster.address = 0
        await failing(enquiry, REMAKE - 1)
    assert [client.closed for client in cluster.clients] == [0]


async def test_brokers_that_were_never_there_are_asked_as_soon_as_they_come() -> None:
    cluster = Cluster(address=0)
    enquiry = cluster.enquiry()
    await failing(enquiry, 3 * REMAKE)
    cluster.address = 1
    assert await enquiry.ask() == SAID
    await enquiry.close()
    assert cluster.clients[-1].closed == 1
