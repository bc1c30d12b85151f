"""The inference service, and libraries that might be it, against the bare model: throughput and time of an answer."""

import asyncio
import base64
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import judgement
from results import ROOT, Measure, compared, progress, quantile
from serving import HELD_S, WINDOWS, WORKS, answers
from soak import body_of
from spoken import judged, refuse_unjudged

from services.emotion.bundle import DEMO, load_bundle
from services.inference.model import metadata
from services.inference.oip import HEADER_LENGTH
from services.standalone.places import free_port
from services.standalone.processes import Program, start

SCRIPT = Path(__file__).with_name("serving.py")
OTHERS = ("mosec", "litserve")  #: pip install mosec litserve; Apache-2.0 both, and in no extra or group
CLIENTS, ROUNDS, WARM_S, TAKEN_S = 64, 3, 3, 10
WINDOW_S = 5
ASKED = f"{CLIENTS} clients, {WINDOWS} windows of {WINDOW_S} s a request"
BESIDE = {
    "demo": "on this processor, which the clients use too",
    "gpu": "the wait stands for the encoder alone: windows are checked, scored and told, but not laid out for a GPU",
}

Body = tuple[bytes, int]
Took = tuple[float, list[float]]  #: windows a second, and milliseconds of each answer


def measure() -> list[Measure]:
    """The demo bundle by itself; each server that is installed, with it and with a model that a processor waits for."""
    installed = ["ours", *(name for name in OTHERS if importlib.util.find_spec(name))]
    if missing := set(OTHERS) - set(installed):
        progress(f"servers: {', '.join(sorted(missing))} not installed, so not compared")
    return [*judgement.measure(), *(found for work in WORKS for found in _of(work, installed))]


def _of(work: str, servers: Sequence[str]) -> list[Measure]:
    body = _body()
    rounds = [
        (_bare(work, body), {name: asyncio.run(_served(name, work, body)) for name in servers}) for _ in range(ROUNDS)
    ]
    return [each for name in servers for each in _told(name, work, [(bare, served[name]) for bare, served in rounds])]


def _told(name: str, work: str, rounds: Sequence[tuple[Took, Took]]) -> list[Measure]:
    model = "the demo bundle" if work == "demo" else f"a GPU of {HELD_S * 1e3} ms a window"
    named = f"{name} against the bare model, {model}"
    rates = [(served[0], bare[0]) for bare, served in rounds]
    late = [quantile(served[1], 0.99) - 2 * statistics.median(bare[1]) for bare, served in rounds]
    waited = quantile([each for _, served in rounds for each in served[1]], 0.99)
    return [
        compared(named, "windows/s", rates, goal="0.95", remarks=f"{ASKED}; {BESIDE[work]}"),
        Measure(
            f"{named}, p99 beyond two of its batches",
            statistics.median(late),
            "ms",
            low=min(late),
            high=max(late),
            goal="5 ms",
            remarks=f"of {waited:.0f} ms; who asks when a batch has just begun waits for that one and then for its own",
        ),
    ]


def _bare(work: str, body: Body) -> Took:
    """The same requests, as many at a time as there are clients, with nothing between."""
    took, until = [], time.monotonic() + TAKEN_S
    while (began := time.monotonic()) < until:
        replies = answers(work, [body] * CLIENTS)
        took.append((time.monotonic() - began) * 1e3)
        refuse_unjudged(replies, WINDOWS)
    return CLIENTS * WINDOWS * 1e3 / statistics.median(took), took


async def _served(name: str, work: str, body: Body) -> Took:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        told = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
        argv = (sys.executable, str(SCRIPT), name, work, str(port))
        server = start(Program(name, argv, log=Path(folder) / "log", env=told, folder=ROOT))
        try:
            return await _asked(name, f"http://127.0.0.1:{port}", body)
        finally:
            server.terminate()
            server.wait()


async def _asked(name: str, address: str, body: Body) -> Took:
    """Clients that ask again as soon as they are answered."""
    answered: list[tuple[float, float]] = []  # when, and after how many milliseconds
    timeout, many = aiohttp.ClientTimeout(60), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(address, connector=many, timeout=timeout) as session:
        await _ready(session, name, body)
        began = time.monotonic() + WARM_S

        async def client() -> None:
            while (asked := time.monotonic()) < began + TAKEN_S:
                await _ask(session, name, body)
                answered.append((now := time.monotonic(), (now - asked) * 1e3))

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
    took = [each for at, each in answered if began <= at < began + TAKEN_S]
    return len(took) * WINDOWS / TAKEN_S, took


async def _ready(session: aiohttp.ClientSession, name: str, body: Body) -> None:
    for _ in range(300):
        try:
            return await _ask(session, name, body)
        except aiohttp.ClientError:
            await asyncio.sleep(0.1)
    raise RuntimeError(f"{name} does not start")


async def _ask(session: aiohttp.ClientSession, name: str, body: Body) -> None:
    content, size = body
    if name == "ours":
        asked = session.post("/v2/models/demo/infer", data=content, headers={HEADER_LENGTH: str(size)})
    elif name == "mosec":
        asked = session.post("/inference", data=size.to_bytes(4, "big") + content)
    else:
        text = {"body": base64.b64encode(content).decode(), "size": size}
        asked = session.post("/predict", data=json.dumps(text), headers={"Content-Type": "application/json"})
    async with asked as response:
        response.raise_for_status()
        refuse_unjudged([await response.read()], WINDOWS)


def _body() -> Body:
    """Speech that is judged: what is refused runs neither features nor heads."""
    bundle = load_bundle(DEMO)
    return body_of(judged(bundle, WINDOWS, WINDOW_S), [output["name"] for output in metadata(bundle)["outputs"]])
