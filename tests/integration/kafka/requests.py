"""Requests as the protocol has them, sent without the questions that clients ask first and are refused already."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    CoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NoError,
    NotCoordinatorError,
    NotLeaderForPartitionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
from aiokafka.protocol.admin import DeleteRecordsRequest, DescribeAclsRequest
from aiokafka.protocol.api import Request
from aiokafka.protocol.fetch import FetchRequest_v4
from aiokafka.protocol.transaction import InitProducerIdRequest

NODE = 1
A_CLIENT = -1  #: in the place of a replica's number
ANY = 1  #: of the filters on access rules
REFUSALS = {
    error.errno
    for error in (
        ClusterAuthorizationFailedError,
        TopicAuthorizationFailedError,
        TransactionalIdAuthorizationFailed,
    )
}
#: What is said once access is granted.
ANSWERS = {
    error.errno
    for error in (
        NoError,
        OffsetOutOfRangeError,
        NotLeaderForPartitionError,  # the leader does not follow itself
        NotCoordinatorError,
        CoordinatorNotAvailableError,
        GroupLoadInProgressError,  # the next numbers of producers are being fetched
    )
}

Arguments = Mapping[str, Any]  #: of an aiokafka client


class _Fetch(Request[FetchRequest_v4]):
    """aiokafka's own takes no replica's number."""

    API_KEY = FetchRequest_v4.API_KEY

    def __init__(self, replica: int, topics: Collection[str]) -> None:
        self._replica, self._topics = replica, topics

    def build(self, request_struct_class: type[FetchRequest_v4]) -> FetchRequest_v4:
        wanted = [(topic, [(0, 0, 1024)]) for topic in self._topics]
        return request_struct_class(self._replica, 0, 0, 64 * 1024, 0, wanted)


def fetch(arguments: Arguments, topics: Collection[str], *, replica: int = A_CLIENT) -> set[str]:
    """The topics whose first partition may be read from its beginning."""
    answer = asyncio.run(_answer(arguments, _Fetch(replica, topics)))
    return {topic for topic, ((_, code, *_),) in answer.topics if _is_allowed(code)}


def delete_no_records(arguments: Arguments, topics: Collection[str]) -> set[str]:
    """The topics of which all records before offset 0 may be deleted, which are none."""
    wanted = [(topic, [(0, 0)]) for topic in topics]
    answer = asyncio.run(_answer(arguments, DeleteRecordsRequest(wanted, 10_000)))
    return {topic for topic, ((_, _, code, *_), *_), *_ in answer.topics if _is_allowed(code)}


def see_rules(arguments: Arguments) -> bool:
    """Whether all access rules may be seen."""
    request = DescribeAclsRequest(ANY, None, ANY, None, None, ANY, ANY)
    return _is_allowed(asyncio.run(_answer(arguments, request)).error_code)


def become_producer(arguments: Arguments, transactional_id: str | None = None) -> bool:
    """Whether a number may be had by which records are written once, in transactions where an id is given."""
    request = InitProducerIdRequest(transactional_id, 10_000)
    return _is_allowed(asyncio.run(_answer(arguments, request)).error_code)


async def _answer(arguments: Arguments, request: Request[Any]) -> Any:  # noqa: ANN401 - a class for each request
    client = AIOKafkaClient(**arguments)
    try:
        await client.bootstrap()
        return await client.send(NODE, request)
    finally:
        await client.close()


def _is_allowed(code: int) -> bool:
    assert code in REFUSALS | ANSWERS  # anything else proves nothing
    return code in ANSWERS
