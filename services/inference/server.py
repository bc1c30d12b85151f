"""The HTTP side: routes, admission and errors of the Open Inference Protocol v2."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import TypeVar

import msgspec
import numpy as np
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.emotion.bundle import Bundle
from services.emotion.model import Judgements, judge
from services.inference.model import VERSION, infer, metadata
from services.inference.oip import HEADER_LENGTH, Reply, RequestError
from services.inference.pulse import Pulse
from services.inference.settings import InferenceSettings
from streams.metrics import Metrics

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

EXTENSIONS = ["binary_tensor_data", "model_repository(index)"]
RETRY_AFTER_S = 1

log = logging.getLogger(__name__)


class InferenceServer:
    """One bundle served. Requests are judged in threads; what they hold in memory together is bounded."""

    def __init__(
        self,
        bundle: Bundle,
        settings: InferenceSettings,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bundle = bundle
        self._settings = settings
        self._metrics = metrics
        self._pulse = Pulse(settings.liveness, clock)
        self._held = 0  # bytes of the requests that are read, wait or are judged
        self._threads = ThreadPoolExecutor(settings.threads, "judge")

    def app(self) -> web.Application:
        """The aiohttp application; its start-up warms the model up."""
        app = web.Application(client_max_size=self._settings.max_request_bytes, middlewares=[self._errors])
        app.cleanup_ctx.append(self._lifetime)
        model = "/v2/models/{name}"
        for path in (model, model + "/versions/{version}"):
            app.router.add_get(path, self._model)
            app.router.add_get(path + "/ready", self._model_ready)
            app.router.add_post(path + "/infer", self._infer)
        app.router.add_get("/v2", self._server)
        app.router.add_get("/v2/health/live", self._live)
        app.router.add_get("/v2/health/ready", self._ready)
        app.router.add_post("/v2/repository/index", self._index)
        app.router.add_get("/metrics", self._exposition)
        return app

    async def _lifetime(self, _app: web.Application) -> AsyncIterator[None]:
        await self._in_thread(warm_up, self._bundle)  # nothing listens before: a cold service is not ready
        self._pulse.look()
        beating = asyncio.create_task(self._pulse.run())
        yield
        beating.cancel()
        self._threads.shutdown()

    @web.middleware
    async def _errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every refusal as the protocol's JSON, and every request counted by its status."""
        response = await _answer(request, handler)
        if request.path.endswith("/infer"):
            self._metrics.count("inference_requests", status=f"{response.status // 100}xx")
        return response

    async def _server(self, _request: web.Request) -> web.Response:
        return _json({"name": "undertone", "version": version("undertone"), "extensions": EXTENSIONS})

    async def _live(self, _request: web.Request) -> web.Response:
        return self._health("live")

    async def _ready(self, _request: web.Request) -> web.Response:
        return self._health("ready")

    def _health(self, question: str, **beside: str) -> web.Response:
        """Yes or no: a request would wait behind threads that are stuck, so then neither is true."""
        live = self._pulse.live
        return _json({**beside, question: live}, status=200 if live else 503)

    async def _index(self, _request: web.Request) -> web.Response:
        return _json([{"name": self._bundle.manifest.name, "version": VERSION, "state": "READY", "reason": ""}])

    async def _model(self, request: web.Request) -> web.Response:
        self._check_model(request)
        return _json(metadata(self._bundle))

    async def _model_ready(self, request: web.Request) -> web.Response:
        self._check_model(request)
        return self._health("ready", name=self._bundle.manifest.name)

    async def _exposition(self, _request: web.Request) -> web.Response:
        self._metrics.set("queued_bytes", self._held)
        for name in ("live", "ready"):
            self._metrics.set(name, self._pulse.live)
        body = generate_latest(self._metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _infer(self, request: web.Request) -> web.Response:
        self._check_model(request)
        size = self._admit(request)
        self._held += size
        try:
            body = await self._body(request)
            reply, judged = await self._in_thread(self._judge, body, _header_length(request))
        finally:
            self._held -= size
        self._metrics.observe("inference_batch_windows", len(judged.reasons))
        return _binary(reply)

    def _judge(self, body: bytes, header_length: int | None) -> tuple[Reply, Judgements]:
        with self._metrics.timed("model_seconds"):
            return infer(self._bundle, body, header_length, max_windows=self._settings.max_windows)

    def _admit(self, request: web.Request) -> int:
        """The bytes that the request will hold; 413 or 429 where there is no room for them."""
        largest = self._settings.max_request_bytes
        size = (
            largest
            if request.content_length is None or "Content-Encoding" in request.headers
            else request.content_length
        )
        if size > largest:
            raise web.HTTPRequestEntityTooLarge(largest, size)
        if self._held + size > self._settings.max_queued_bytes:
            headers = {"Retry-After": str(RETRY_AFTER_S)}
            raise web.HTTPTooManyRequests(text="too many requests wait already; try again later", headers=headers)
        return size

    async def _body(self, request: web.Request) -> bytes:
        try:
            async with asyncio.timeout(self._settings.body_timeout_s):
                return await request.read()
        except TimeoutError as error:
            raise web.HTTPRequestTimeout(text="the request's body did not arrive in time") from error

    def _check_model(self, request: web.Request) -> None:
        name, asked = self._bundle.manifest.name, request.match_info.get("version", VERSION)
        if request.match_info["name"] != name or asked != VERSION:
            raise web.HTTPNotFound(text=f"there is model {name}, version {VERSION}, and no other")

    async def _in_thread(self, work: Callable[..., T], *args: object) -> T:
        with self._pulse.working():
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)


def warm_up(bundle: Bundle) -> None:
    """Judge one window that is voiced enough to run every step, so that the first caller does not pay for it."""
    rate = bundle.manifest.rate
    phase = np.arange(3 * rate, dtype=np.float32) * np.float32(2 * np.pi * 140 / rate)
    judge(bundle, [(0.1 * np.sin(phase) + 0.05 * np.sin(2 * phase)).astype(np.float32)])


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        kept = {name: error.headers[name] for name in ("Retry-After", "Allow") if name in error.headers}
        return _json({"error": error.text or error.reason}, status=error.status, headers=kept)
    except RequestError as error:
        return _json({"error": str(error)}, status=400)
    except Exception:
        log.exception("a request failed", extra={"path": request.path})
        return _json({"error": "the service failed at this request"}, status=500)


def _header_length(request: web.Request) -> int | None:
    text = request.headers.get(HEADER_LENGTH)
    if text is None:
        return None
    if not text.isdecimal() or not text.isascii():
        raise RequestError(f"{HEADER_LENGTH} must be a whole number")
    return int(text)


def _json(value: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    body = msgspec.json.encode(value)
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def _binary(reply: Reply) -> web.Response:
    if reply.header_length is None:
        return web.Response(body=reply.body, content_type="application/json")
    headers = {HEADER_LENGTH: str(reply.header_length)}
    return web.Response(body=reply.body, content_type="application/octet-stream", headers=headers)
