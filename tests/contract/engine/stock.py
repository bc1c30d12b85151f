"""A Faust worker as its guide has it: `stock.py BEHAVIOUR BOOTSTRAP TOPIC SINK`; the group is named like the topic."""
# ruff: noqa: ANN401 - Faust ships no types

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import faust

behaviour, bootstrap, name, path = sys.argv[1:]
sink = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
BEHAVIOURS: dict[str, Callable[[faust.App], None]] = {}
QUICK: dict[str, Any] = {
    "broker_commit_interval": 0.5,
    "broker_session_timeout": 6,
    "broker_heartbeat_interval": 2,
    "consumer_auto_offset_reset": "earliest",
    "topic_allow_declare": False,
    "topic_disable_leader": True,
    "web_enabled": False,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "raises": {"stream_wait_empty": False},
    "transacts": {"processing_guarantee": "exactly_once"},
    "stalls": {"broker_request_timeout": 6},
    "answers": {"broker_request_timeout": 6},
}


def effect(value: object) -> None:
    os.write(sink, f"{value}\n".encode())


def behave(set_up: Callable[[faust.App], None]) -> Callable[[faust.App], None]:
    BEHAVIOURS[set_up.__name__] = set_up
    return set_up


def raw(app: faust.App) -> Any:
    return app.topic(name, value_serializer="raw", key_serializer="raw", value_type=bytes, key_type=bytes)


@behave
def raises(app: faust.App) -> None:
    """Fails at record 3."""

    @app.agent(raw(app))
    async def agent(stream: Any) -> None:
        async for value in stream:
            if value == b"3":
                raise RuntimeError("told to fail here")
            effect(value.decode())


@behave
def takes(app: faust.App) -> None:
    """Ten records at a time, decoded by Faust."""

    @app.agent(app.topic(name, value_type=int, value_serializer="json"))
    async def agent(stream: Any) -> None:
        async for values in stream.take(10, within=0.5):
            for value in values:
                effect(value)


@behave
def overtakes(app: faust.App) -> None:
    """Two at a time; the first record takes for ever."""

    @app.agent(raw(app), concurrency=2)
    async def agent(stream: Any) -> None:
        async for value in stream:
            if value == b"0":
                await asyncio.sleep(3600)
            effect(value.decode())


@behave
def sends(app: faust.App) -> None:
    """Sends each record on, as the guide does it."""
    out = app.topic(f"{name}.out", value_serializer="raw", value_type=bytes)

    @app.agent(raw(app))
    async def agent(stream: Any) -> None:
        async for value in stream:
            await out.send(value=value)
            effect(value.decode())


@behave
def transacts(app: faust.App) -> None:
    """Sends each record on under `exactly_once`; the effect is the transaction that it was sent in."""
    out = app.topic(f"{name}.out", value_serializer="raw", value_type=bytes)

    @app.agent(raw(app))
    async def agent(stream: Any) -> None:
        producer = app.producer
        send = producer.send

        async def spy(*arguments: Any, transactional_id: str | None = None, **more: Any) -> Any:
            effect(f"transactional_id={transactional_id}")
            return await send(*arguments, transactional_id=transactional_id, **more)

        producer.send = spy
        async for value in stream:
            await out.send(value=value)


@behave
def replies(app: faust.App) -> None:
    """Yields what it made of a record."""

    @app.agent(raw(app))
    async def agent(stream: Any) -> Any:
        async for value in stream:
            effect(value.decode())
            yield "the customer is angry"


@behave
def holds(app: faust.App) -> None:
    """A handler that waits for a dependency that is down."""

    @app.agent(raw(app))
    async def agent(stream: Any) -> None:
        async for value in stream:
            effect(value.decode())
            await asyncio.sleep(3600)


@behave
def half_takes(app: faust.App) -> None:
    """Waits a minute for a batch to be full."""

    @app.agent(raw(app))
    async def agent(stream: Any) -> None:
        async for values in stream.take(100, within=60):
            for value in values:
                effect(value.decode())


@behave
def answers(app: faust.App) -> None:
    """What `stalls` is without its slow answer."""
    raises(app)


@behave
def stalls(app: faust.App) -> None:
    """One broker call during start-up takes longer than `broker_request_timeout`."""
    answers(app)
    from faust.transport.drivers.aiokafka import Consumer  # noqa: PLC0415 - only here

    seek, slow = Consumer.perform_seek, iter([7.0])

    async def perform_seek(self: Any) -> None:
        await asyncio.sleep(next(slow, 0))
        await seek(self)

    Consumer.perform_seek = perform_seek


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        app = faust.App(name, broker=f"kafka://{bootstrap}", datadir=folder, **QUICK | SETTINGS.get(behaviour, {}))
        BEHAVIOURS[behaviour](app)
        faust.Worker(app, loglevel="INFO").execute_from_commandline()
