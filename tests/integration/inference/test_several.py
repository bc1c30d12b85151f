"""Several bundles in one process."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from aiohttp.test_utils import TestServer
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from services.emotion.bundle import DEMO
from services.emotion.manifest import MANIFEST
from services.inference.served import open_bundles
from services.inference.server import InferenceServer
from services.inference.settings import InferenceSettings
from streams.adapters.inference import InferenceClient
from streams.domain.records import Window
from streams.domain.scoring import Served
from streams.metrics import Metrics

REPOSITORY = "/v2/repository/models"


@pytest.fixture
def strict(tmp_path: Path) -> Path:
    """The demo bundle by another name, which finds windows of 3 s too long."""
    folder = Path(shutil.copytree(DEMO, tmp_path / "strict"))
    renamed(folder, "strict", max_ms=2_900)
    return folder


def renamed(folder: Path, name: str, **limits: int) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["limits"].update(limits)
    (folder / MANIFEST).write_text(json.dumps(manifest | {"name": name}))


@asynccontextmanager
async def served(*more: Path) -> AsyncIterator[tuple[aiohttp.ClientSession, CollectorRegistry]]:
    settings, registry = InferenceSettings(allow_demo_bundle=True, more_bundles=more), CollectorRegistry()
    app = InferenceServer(open_bundles(settings), settings, Metrics(registry)).app()
    async with TestServer(app) as server, aiohttp.ClientSession(str(server.make_url("/"))) as session:
        yield session, registry


async def reasons(session: aiohttp.ClientSession, name: str, hum: NDArray[np.int16]) -> list[str]:
    values = {"samples": ("INT16", hum.tolist()), "lengths": ("INT32", [len(hum)]), "rate": ("INT32", [8000])}
    asked = [{"name": at, "datatype": kind, "shape": [len(data)], "data": data} for at, (kind, data) in values.items()]
    async with session.post(f"/v2/models/{name}/infer", json={"inputs": asked}) as response:
        said: list[str] = next(out["data"] for out in (await response.json())["outputs"] if out["name"] == "reason")
        return said


async def names(session: aiohttp.ClientSession) -> list[str]:
    async with session.post("/v2/repository/index") as response:
        return [model["name"] for model in await response.json()]


async def told(session: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with session.post(f"{REPOSITORY}/{path}") as response:
        return response.status, (await response.json()).get("error", "")


async def test_each_bundle_judges_by_its_own_rules_windows_that_both_hear_at_once(
    strict: Path, hum: NDArray[np.int16]
) -> None:
    async with served(strict) as (session, registry):
        assert await names(session) == ["demo", "strict"]
        asked = [reasons(session, name, hum) for name in ("demo", "strict", "demo", "strict")]
        assert await asyncio.gather(*asked) == [[""], ["too_long"], [""], ["too_long"]]
        count = registry.get_sample_value("undertone_inference_batch_windows_count")
        assert count is not None
        assert count < 4  # they do not wait for each other


async def test_a_bundle_that_is_unloaded_leaves_the_other_serving_and_can_come_back(
    strict: Path, hum: NDArray[np.int16]
) -> None:
    async with served(strict) as (session, _):
        assert await told(session, "demo/unload") == (200, "")
        assert await names(session) == ["strict"]
        assert await reasons(session, "strict", hum) == ["too_long"]
        assert (await told(session, "demo/unload"))[0] == 404
        assert await told(session, "strict/unload") == (400, "strict is the only model; stop the service instead")
        assert await told(session, "demo/load") == (200, "")
        assert await reasons(session, "demo", hum) == [""]


async def test_a_bundle_is_replaced_beside_the_other_and_takes_no_name_that_is_taken(
    strict: Path, hum: NDArray[np.int16]
) -> None:
    async with served(strict) as (session, _):
        renamed(strict, "lenient", max_ms=20_000)
        assert await told(session, "lenient/load") == (200, "")
        assert await names(session) == ["demo", "lenient"]
        assert await reasons(session, "lenient", hum) == [""]
        renamed(strict, "demo")
        assert (await told(session, "lenient/load"))[1].endswith("load what is there, or copy 'lenient'")
        assert await names(session) == ["demo", "lenient"]


async def test_the_label_stage_asks_for_each_window_the_bundle_of_its_use_case(
    strict: Path, window: Callable[..., Window]
) -> None:
    wishes = {name: Served(name, demo=True) for name in ("demo", "strict", "late")}
    windows = [replace(window(3000 * at), use_case=name) for at, name in enumerate(["demo", "strict", "late", "demo"])]
    async with (
        served(strict) as (session, _),
        InferenceClient(str(session._base_url), Metrics(CollectorRegistry()), wishes) as client,
    ):
        labels = await client.label(windows)
        assert [label.window_id for label in labels] == [window.id for window in windows]
        assert [label.reason for label in labels] == [None, "too_long", "other_bundle", None]
        renamed(strict, "late", max_ms=20_000)
        assert await told(session, "late/load") == (200, "")
        assert [label.reason for label in await client.label(windows)] == [None, "other_bundle", None, None]
