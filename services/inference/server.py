"""The HTTP side: routes, admission and errors of the Open Inference Protocol v2."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, ProcessCollector, generate_latest

from services.emotion.bundle import Bundle
from services.emotion.manifest import BundleError
from services.emotion.model import Judgements
from services.inference.batching import Batching, LateError
from services.inference.gpu import gpu_memory, is_lost
from services.inference.model import VERSION, Sent, heard_together, metadata, read, reply
from services.inference.oip import HEADER_LENGTH, Reply, RequestError
from services.inference.pulse import Pulse
from services.inference.served import holding, named_apart, open_bundle, warm_up
from services.inference.settings import InferenceSettings
from streams.metrics import Metrics

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

EXTENSIONS = ["binary_tensor_data", *(f"model_repository({each})" for each in ("index", "load", "unload"))]
RETRY_AFTER_S = 1

log = logging.getLogger(__name__)


class InferenceServer:
    """Bundles served. Requests are judged in batches; what they hold in memory together is bounded."""

    def __init__(
        self,
        bundles: Mapping[Path, Bundle],
        settings: InferenceSettings,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        ProcessCollector(registry=metrics.registry)
        self._served = dict(bundles)
        self._settings = settings
        self._pulse = Pulse(settings.liveness, clock)
        self._held = 0  # bytes of the requests that are read, wait or are judged
        self._threads = ThreadPoolExecutor(settings.threads, "judge")
        self._loading = asyncio.Lock()  # one at a time: one begun before may end after and put back what was there
        self._codec = ThreadPoolExecutor(1, "codec")  # a request is read while a batch is judged
        self._batching = Batching[Bundle](
            self._threads, settings.threads, self._judged, seconds=settings.batch_s, wait_s=settings.wait_s
        )

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
        app.router.add_post("/v2/repository/models/{name}/load", self._load)
        app.router.add_post("/v2/repository/models/{name}/unload", self._unload)
        app.router.add_get("/metrics", self._exposition)
        return app

    async def _lifetime(self, _app: web.Application) -> AsyncIterator[None]:
        with self._pulse.working():
            for bundle in self._served.values():  # nothing listens before: a cold service is not ready
                await _in(self._threads, warm_up, bundle)
        self._pulse.look()
        beating = asyncio.create_task(self._pulse.run())
        yield
        beating.cancel()
        self._threads.shutdown()
        self._codec.shutdown()

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
        about = {"version": VERSION, "state": "READY", "reason": ""}
        return _json([{"name": bundle.manifest.name, **about} for bundle in self._served.values()])

    async def _load(self, request: web.Request) -> web.Response:
        """Serve the bundle of this name that lies in one of the folders by now.

        Where it cannot be, the one before it serves on. Requests that have come already are answered by the bundle that
        they came to.
        """
        wanted = request.match_info["name"]
        try:
            async with self._loading:
                folder, bundle = await asyncio.to_thread(_ready, self._settings, wanted)
                self._served[folder] = named_apart(folder, bundle, self._served)
        except BundleError as error:
            log.error("a bundle was not taken; the one before it serves on", extra={"reason": str(error)})  # noqa: TRY400
            raise web.HTTPBadRequest(text=str(error)) from error
        log.info("serving another bundle", extra={"bundle": wanted, "sha256": bundle.sha256})
        return _json({})

    async def _unload(self, request: web.Request) -> web.Response:
        """Serve a bundle no more, unless it is the last; requests that have come to it are answered."""
        bundle = self._asked(request)
        if len(self._served) == 1:
            raise web.HTTPBadRequest(text=f"{bundle.manifest.name} is the only model; stop the service instead")
        self._served = {folder: each for folder, each in self._served.items() if each is not bundle}
        log.info("serving a bundle no more", extra={"bundle": bundle.manifest.name, "sha256": bundle.sha256})
        return _json({})

    async def _model(self, request: web.Request) -> web.Response:
        return _json(metadata(self._asked(request)))

    async def _model_ready(self, request: web.Request) -> web.Response:
        return self._health("ready", name=self._asked(request).manifest.name)

    async def _exposition(self, _request: web.Request) -> web.Response:
        self._metrics.set("queued_bytes", self._held)
        for name in ("live", "ready"):
            self._metrics.set(name, self._pulse.live)
        for state, size in gpu_memory(self._settings.device).items():
            self._metrics.set("gpu_bytes", size, state=state)
        body = generate_latest(self._metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _infer(self, request: web.Request) -> web.Response:
        bundle = self._asked(request)
        size = self._admit(request)
        self._held += size
        try:
            body = await self._body(request)
            with self._pulse.working():
                return _binary(await self._answered(bundle, body, _header_length(request)))
        finally:
            self._held -= size

    async def _answered(self, bundle: Bundle, body: bytes, header_length: int | None) -> Reply:
        limit = self._settings.max_windows
        request, windows = await _in(self._codec, read, body, header_length, limit)
        try:
            judged = await self._batching.judged(bundle, windows)
        except LateError as error:
            headers = {"Retry-After": str(RETRY_AFTER_S)}
            text = "the request waited too long for its turn; try again later"
            raise web.HTTPServiceUnavailable(text=text, headers=headers) from error
        return await _in(self._codec, reply, bundle, judged, request)

    def _judged(self, parts: Sequence[tuple[Bundle, Sequence[Sent]]]) -> list[Judgements]:
        try:
            with self._metrics.timed("model_seconds"):
                judged = heard_together(parts)
        except Exception as error:
            if is_lost(error):
                self._pulse.end()
            raise
        self._metrics.observe("inference_batch_windows", sum(len(windows) for _, windows in parts))
        return judged

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

    def _asked(self, request: web.Request) -> Bundle:
        """The bundle that the request names."""
        bundles = {bundle.manifest.name: bundle for bundle in self._served.values()}
        found = bundles.get(request.match_info["name"])
        if found is None or request.match_info.get("version", VERSION) != VERSION:
            raise web.HTTPNotFound(text=f"there is model {', '.join(bundles)}, version {VERSION}, and no other")
        return found


def _ready(settings: InferenceSettings, wanted: str) -> tuple[Path, Bundle]:
    """The bundle of this name, warm, and its folder. BundleError where there is none, or it cannot be used."""
    folder = holding(settings, wanted)
    bundle = open_bundle(settings, folder)
    warm_up(bundle)
    return folder, bundle


async def _in(threads: Executor, work: Callable[..., T], *args: object) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, work, *args)


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
