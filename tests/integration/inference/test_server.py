import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from aiohttp.test_utils import TestServer
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from services.emotion import model
from services.emotion.bundle import DEMO, Bundle
from services.inference.pulse import STUCK_S
from services.inference.server import InferenceServer
from services.inference.settings import InferenceSettings
from services.standalone.places import free_port
from streams.metrics import Metrics

Serving = Callable[..., AbstractAsyncContextManager[TestServer]]
INFER = "/v2/models/demo/infer"


async def test_a_request_over_the_limit_is_refused_unread(serving: Serving, demo: Bundle) -> None:
    async with serving(demo, max_request_bytes=2048) as server, aiohttp.ClientSession() as session:
        response = await session.post(server.make_url(INFER), data=bytes(2049))
        assert response.status == 413
        assert "error" in await response.json()


async def test_requests_over_the_queues_limit_are_told_when_to_come_again(serving: Serving, demo: Bundle) -> None:
    async with (
        serving(demo, max_request_bytes=2048, max_queued_bytes=2048) as server,
        aiohttp.ClientSession() as session,
    ):
        release = asyncio.Event()
        arrived = asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield b"{"
            arrived.set()
            await release.wait()
            yield bytes(9)

        async def first() -> int:
            headers = {"Content-Length": "10"}
            async with session.post(server.make_url(INFER), data=slowly(), headers=headers) as response:
                return response.status

        held = asyncio.create_task(first())
        await arrived.wait()
        response = await _until(429, lambda: session.post(server.make_url(INFER), data=bytes(2040)))
        assert response.headers["Retry-After"] == "1"
        assert "try again" in (await response.json())["error"]
        release.set()
        assert await held == 400
        async with session.post(server.make_url(INFER), data=bytes(2040)) as later:
            assert later.status == 400  # room again, and the fault is the request's own


async def test_a_service_touches_its_liveness_file_as_long_as_its_event_loop_runs(
    serving: Serving, demo: Bundle, tmp_path: Path
) -> None:
    file = tmp_path / "alive"
    async with serving(demo, liveness=file):
        assert file.exists()
        os.utime(file, (0, 0))
        while not file.stat().st_mtime:
            await asyncio.sleep(0.01)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_threads_that_are_stuck_are_neither_live_nor_ready_until_they_get_on(demo: Bundle) -> None:
    clock = Clock()
    registry = CollectorRegistry()
    server = InferenceServer({DEMO: demo}, InferenceSettings(allow_demo_bundle=True), Metrics(registry), clock)
    paths = ("/v2/health/live", "/v2/health/ready", "/v2/models/demo/ready")
    async with TestServer(server.app()) as served, aiohttp.ClientSession() as session:

        async def seen() -> tuple[list[int], list[bool], list[float | None]]:
            responses = [await session.get(served.make_url(path)) for path in paths]
            said = [value for response in responses for value in (await response.json()).values() if value != "demo"]
            await session.get(served.make_url("/metrics"))
            gauges = [registry.get_sample_value(f"undertone_{name}") for name in ("live", "ready")]
            return [response.status for response in responses], said, gauges

        assert await seen() == ([200] * 3, [True] * 3, [1, 1])
        with server._pulse.working():
            clock.now += STUCK_S
            assert await seen() == ([503] * 3, [False] * 3, [0, 0])
        assert await seen() == ([200] * 3, [True] * 3, [1, 1])


class AcceleratorError(RuntimeError):
    """By torch's name."""


async def test_a_service_whose_gpu_is_lost_is_not_live_so_that_it_is_started_again(
    serving: Serving, demo: Bundle, hum: NDArray[np.int16], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise AcceleratorError

    values = {"samples": ("INT16", hum.tolist()), "lengths": ("INT32", [len(hum)]), "rate": ("INT32", [8000])}
    asked = [{"name": at, "datatype": kind, "shape": [len(data)], "data": data} for at, (kind, data) in values.items()]
    async with serving(demo) as server, aiohttp.ClientSession() as session:
        monkeypatch.setattr(model, "scored", lost)
        assert (await session.post(server.make_url(INFER), json={"inputs": asked})).status == 500
        for path in ("live", "ready"):
            assert (await session.get(server.make_url(f"/v2/health/{path}"))).status == 503


async def test_nobody_is_told_ready_before_the_bundle_is_warm(demo: Bundle) -> None:
    server = InferenceServer(
        {DEMO: demo}, InferenceSettings(allow_demo_bundle=True, threads=1), Metrics(CollectorRegistry())
    )
    cold, port = threading.Event(), free_port()
    server._threads.submit(cold.wait)  # warming up comes after it
    served = TestServer(server.app(), port=port)
    starting = asyncio.create_task(served.start_server())
    async with aiohttp.ClientSession() as session:
        for _ in range(3):
            await asyncio.sleep(0.01)
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(f"http://127.0.0.1:{port}/v2/health/ready")
        cold.set()
        await starting
        assert (await session.get(f"http://127.0.0.1:{port}/v2/health/ready")).status == 200
    await served.close()


async def _until(status: int, ask: Callable[[], Awaitable[aiohttp.ClientResponse]]) -> aiohttp.ClientResponse:
    """Ask until the server has seen what was sent before."""
    while (response := await ask()).status != status:
        await asyncio.sleep(0.01)
    return response


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/demo/versions/2", 404),
        ("GET", "/v3", 404),
        ("DELETE", "/v2", 405),
        ("POST", INFER, 400),
    ],
)
async def test_every_refusal_is_json_with_its_reason(
    serving: Serving, demo: Bundle, method: str, path: str, status: int
) -> None:
    async with serving(demo) as server, aiohttp.ClientSession() as session:
        response = await session.request(method, server.make_url(path))
        assert response.status == status
        assert (await response.json()).keys() == {"error"}


@pytest.mark.parametrize("length", ["-1", "9e9", "99", "x"])
async def test_a_header_length_that_cannot_be_is_refused(serving: Serving, demo: Bundle, length: str) -> None:
    async with serving(demo) as server, aiohttp.ClientSession() as session:
        headers = {"Inference-Header-Content-Length": length}
        async with session.post(server.make_url(INFER), data=b"{}", headers=headers) as response:
            assert response.status == 400
            assert "Inference-Header-Content-Length" in (await response.json())["error"]


async def test_a_body_that_does_not_arrive_is_given_up(serving: Serving, demo: Bundle) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(3600)

    async with serving(demo, body_timeout_s=0.05) as server, aiohttp.ClientSession() as session:
        response = await session.post(server.make_url(INFER), data=never())
        assert response.status == 408


async def test_metrics_count_requests_and_windows(serving: Serving, demo: Bundle) -> None:
    async with serving(demo) as server, aiohttp.ClientSession() as session:
        await session.post(server.make_url(INFER), data=b"{}")
        async with session.get(server.make_url("/metrics")) as response:
            text = await response.text()
    assert 'undertone_inference_requests_total{status="4xx"} 1.0' in text
    assert "undertone_ready 1.0" in text
    assert "undertone_queued_bytes 0.0" in text
    assert "\nprocess_start_time_seconds " in text  # by which a crash loop is seen
