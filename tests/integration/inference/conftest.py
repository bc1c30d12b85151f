from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
from aiohttp.test_utils import TestServer
from aiohttp.typedefs import Middleware
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from services.emotion.bundle import DEMO, Bundle, load_bundle
from services.emotion.heads import fast
from services.emotion.manifest import Scheme
from services.inference.server import InferenceServer
from services.inference.settings import InferenceSettings
from services.standalone.samples import CALM
from streams.domain.records import Role, Window
from streams.metrics import Metrics

Serving = Callable[..., AbstractAsyncContextManager[TestServer]]


@pytest.fixture(scope="session")
def demo() -> Bundle:
    return load_bundle(DEMO)


@pytest.fixture
def other(demo: Bundle) -> Bundle:
    """The demo's machines with other class names."""
    classes = {head: tuple(f"{name}!" for name in names) for head, names in demo.manifest.scheme.heads.items()}
    manifest = msgspec.structs.replace(demo.manifest, scheme=Scheme("other", classes))
    return replace(demo, manifest=manifest, judges=fast(replace(demo.heads, classes=classes)), sha256="f" * 64)


@pytest.fixture
def serving() -> Serving:
    return _serving


@asynccontextmanager
async def _serving(
    served: Bundle, port: int = 0, *middlewares: Middleware, **more: Path | float
) -> AsyncIterator[TestServer]:
    settings = InferenceSettings(allow_demo_bundle=True, **more)
    app = InferenceServer({settings.bundle: served}, settings, Metrics(CollectorRegistry())).app()
    app.middlewares.extend(middlewares)
    async with TestServer(app, port=port) as server:
        yield server


@pytest.fixture(scope="session")
def hum() -> NDArray[np.int16]:
    """Three seconds of the calm sample's customer at 8 kHz."""
    samples, _ = soundfile.read(CALM, dtype="int16")
    return np.ascontiguousarray(samples[32_000:56_000, 1])


@pytest.fixture(scope="session")
def window(hum: NDArray[np.int16]) -> Callable[..., Window]:
    def made(start_ms: int = 0, *, data: bytes | None = None, rate: int = 8000) -> Window:
        audio = hum.astype(">i2").tobytes() if data is None else data
        at = datetime(2026, 11, 23, tzinfo=UTC)
        return Window(f"w{start_ms}", "c", "demo", Role.CUSTOMER, start_ms, start_ms + 3000, 4, at, rate, audio)

    return made
