"""`python -m ops.chaos.scorer PORT`: an inference service whose answer is a function of the window's bytes alone.

It speaks the Open Inference Protocol with the code of the real service; `POST /mode` makes it slow, failing or deaf.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from services.inference.model import INPUTS
from services.inference.oip import HEADER_LENGTH, Tensor, read_request, tensor_metadata, write_reply
from streams.domain.schemes import EMODB
from streams.domain.unlabelled import Unlabelled

NAME = "demo"  # as the use case asks
BUNDLE = sha256(b"chaos").hexdigest()
CLASSES: Mapping[str, tuple[str, ...]] = EMODB.heads()
#: What the demo rule asks for; half of all windows say it, so that about every second call escalates.
HIT = {"valence.full": "negative", "arousal.full": "excited", "category.binary": "emotional"}

Rows = dict[str, NDArray[np.float32]]


class Mode(msgspec.Struct, frozen=True):
    """How it misbehaves."""

    delay_s: float = 0.0  #: of each request
    window_s: float = 0.0  #: of each window besides
    status: int = 200  #: answered instead of labels
    deaf: bool = False  #: takes requests and never answers


def judge(pcm: bytes) -> dict[str, list[float]] | None:
    """Probabilities of every head for a window (L16 as on the topic); None: it abstains."""
    digest = sha256(pcm).digest()
    if digest[0] % 16 == 0:
        return None
    return {head: _drawn(digest, head, classes) for head, classes in CLASSES.items()}


def named(head: str, shares: Sequence[float]) -> str:
    """The class with the largest share."""
    return CLASSES[head][int(np.argmax(shares))]


def _drawn(digest: bytes, head: str, classes: Sequence[str]) -> list[float]:
    weights = np.frombuffer(sha256(digest + head.encode()).digest(), np.uint8)[: len(classes)].astype(np.float32) + 1
    if digest[1] % 2 and head in HIT:
        weights[classes.index(HIT[head])] += 300
    shares: NDArray[np.float32] = weights / weights.sum()
    drawn: list[float] = shares.tolist()
    return drawn  # of 32 bits, as they go over the wire: what comes back is equal, not just close


class Scorer:
    """The service."""

    def __init__(self) -> None:
        self.mode = Mode()

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_get("/v2/health/ready", self._ready)
        app.router.add_post("/v2/repository/index", self._index)
        app.router.add_get(f"/v2/models/{NAME}", self._model)
        app.router.add_post(f"/v2/models/{NAME}/infer", self._infer)
        app.router.add_post("/mode", self._set)
        return app

    async def _ready(self, _request: web.Request) -> web.Response:
        return web.json_response({"ready": True})

    async def _index(self, _request: web.Request) -> web.Response:
        return web.json_response([{"name": NAME, "version": "1", "state": "READY", "reason": ""}])

    async def _model(self, _request: web.Request) -> web.Response:
        outputs = [tensor_metadata(head, "FP32", [-1, len(names)]) for head, names in CLASSES.items()]
        return web.json_response({"name": NAME, "versions": ["1"], "outputs": outputs, "parameters": _parameters()})

    async def _set(self, request: web.Request) -> web.Response:
        self.mode = msgspec.json.decode(await request.read(), type=Mode)
        return web.json_response({})

    async def _infer(self, request: web.Request) -> web.Response:
        body, length, mode = await request.read(), int(request.headers[HEADER_LENGTH]), self.mode
        while self.mode.deaf:
            await asyncio.sleep(0.1)
        if mode.status != 200:
            return web.json_response({"error": "chaos"}, status=mode.status)
        asked = read_request(body, length, INPUTS)
        windows = _windows(asked.tensors["samples"], asked.tensors["lengths"])
        await asyncio.sleep(mode.delay_s + mode.window_s * len(windows))
        reply = write_reply({"model_name": NAME, "parameters": _parameters()}, _outputs(windows), asked)
        headers = {HEADER_LENGTH: str(reply.header_length)}
        return web.Response(body=reply.body, content_type="application/octet-stream", headers=headers)


def _parameters() -> dict[str, Any]:
    return {"bundle_sha256": BUNDLE, "classes": CLASSES, "demo_only": True}


def _windows(samples: NDArray[Any], lengths: NDArray[Any]) -> list[bytes]:
    return [part.astype(">i2").tobytes() for part in np.split(samples, np.cumsum(lengths)[:-1])]


def _outputs(windows: Sequence[bytes]) -> dict[str, Tensor]:
    judged = [judge(window) for window in windows]
    rows: dict[str, Tensor] = {
        head: np.array([[0.0] * len(names) if found is None else found[head] for found in judged], np.float32)
        for head, names in CLASSES.items()
    }
    for head in CLASSES:
        rows[f"{head}.class"] = ["" if found is None else named(head, found[head]) for found in judged]
    rows["outcome"] = ["abstained" if found is None else "labelled" for found in judged]
    rows["reason"] = [Unlabelled.SILENT.value if found is None else "" for found in judged]
    return rows


if __name__ == "__main__":
    web.run_app(Scorer().app(), host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
