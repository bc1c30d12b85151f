"""A bundle is replaced while requests come."""

import asyncio
import shutil
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from aiohttp.test_utils import TestServer
from numpy.typing import NDArray

from services.emotion.bundle import DEMO, Bundle, load_bundle
from services.emotion.manifest import MANIFEST, WEIGHTS
from services.inference import server as server_module

Serving = Callable[..., AbstractAsyncContextManager[TestServer]]
LOAD, INFER, ABOUT = "/v2/repository/models/demo/load", "/v2/models/demo/infer", "/v2/models/demo"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the demo bundle."""
    return Path(shutil.copytree(DEMO, tmp_path / "bundle"))


def asked(hum: NDArray[np.int16]) -> dict[str, object]:
    values = {"samples": ("INT16", hum.tolist()), "lengths": ("INT32", [len(hum)]), "rate": ("INT32", [8000])}
    return {
        "inputs": [
            {"name": name, "datatype": kind, "shape": [len(data)], "data": data}
            for name, (kind, data) in values.items()
        ]
    }


async def test_no_request_is_dropped_while_a_bundle_is_replaced(
    serving: Serving, folder: Path, hum: NDArray[np.int16]
) -> None:
    before, found = load_bundle(folder).sha256, []
    body = asked(hum)
    async with serving(load_bundle(folder), bundle=folder) as server, aiohttp.ClientSession() as session:
        replaced = asyncio.Event()

        async def ask() -> None:
            while not replaced.is_set():
                async with session.post(server.make_url(INFER), json=body) as response:
                    found.append((response.status, (await response.json())["parameters"]["bundle_sha256"]))

        asking = [asyncio.create_task(ask()) for _ in range(3)]
        (folder / MANIFEST).write_text((folder / MANIFEST).read_text() + " ")
        async with session.post(server.make_url(LOAD)) as response:
            assert response.status == 200
        async with session.get(server.make_url(ABOUT)) as response:
            after = (await response.json())["parameters"]["bundle_sha256"]
        while (200, after) not in found:
            await asyncio.sleep(0.01)
        replaced.set()
        await asyncio.gather(*asking)

    assert after == load_bundle(folder).sha256 != before
    assert set(found) == {(200, before), (200, after)}


async def test_of_two_loads_at_once_the_one_that_came_last_is_served(
    serving: Serving, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, ended, warm_up = threading.Event(), threading.Event(), server_module.warm_up

    def slowly(bundle: Bundle) -> None:
        if not began.is_set():
            began.set()
            ended.wait(2)
        warm_up(bundle)

    async with serving(load_bundle(folder), bundle=folder) as server, aiohttp.ClientSession() as session:
        monkeypatch.setattr(server_module, "warm_up", slowly)
        first = asyncio.create_task(session.post(server.make_url(LOAD)))
        await asyncio.to_thread(began.wait)
        (folder / MANIFEST).write_text((folder / MANIFEST).read_text() + " ")
        last = asyncio.create_task(session.post(server.make_url(LOAD)))
        await asyncio.wait([last], timeout=0.5)
        ended.set()
        assert [response.status for response in await asyncio.gather(first, last)] == [200, 200]
        async with session.get(server.make_url(ABOUT)) as response:
            assert (await response.json())["parameters"]["bundle_sha256"] == load_bundle(folder).sha256


async def test_a_bundle_that_cannot_be_used_is_refused_and_the_one_before_it_serves_on(
    serving: Serving, folder: Path, hum: NDArray[np.int16]
) -> None:
    bundle = load_bundle(folder)
    async with serving(bundle, bundle=folder) as server, aiohttp.ClientSession() as session:
        (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1])
        async with session.post(server.make_url(LOAD)) as response:
            assert response.status == 400
            assert "sha256 is not the one" in (await response.json())["error"]
        async with session.post(server.make_url(INFER), json=asked(hum)) as response:
            assert response.status == 200
            assert (await response.json())["parameters"]["bundle_sha256"] == bundle.sha256


async def test_a_bundle_of_another_name_than_asked_for_is_refused(serving: Serving, folder: Path) -> None:
    async with serving(load_bundle(folder), bundle=folder) as server, aiohttp.ClientSession() as session:
        response = await session.post(server.make_url("/v2/repository/models/other/load"))
        assert response.status == 400
        assert "holds bundle 'demo'" in (await response.json())["error"]


async def test_a_request_without_a_turn_is_told_when_to_come_again(serving: Serving, hum: NDArray[np.int16]) -> None:
    async with serving(load_bundle(DEMO), wait_s=1e-9) as server, aiohttp.ClientSession() as session:
        response = await session.post(server.make_url(INFER), json=asked(hum))
        assert response.status == 503
        assert response.headers["Retry-After"] == "1"
