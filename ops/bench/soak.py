"""The inference service at twice what it can do: its memory, and whether every answer is right or a refusal."""

import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec
import numpy as np
import psutil
from numpy.typing import NDArray
from results import ROOT, Measure, progress
from spoken import RATE, customers
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from services.emotion.bundle import DEMO, load_bundle
from services.inference.model import heard, metadata, read, reply
from services.inference.oip import HEADER_LENGTH
from services.standalone.places import free_port
from services.standalone.processes import Program, start

SOAK_S, LONG_S = 60, 600  #: `UNDERTONE_LONG=1` takes the second
CAPACITY_S, CLIENTS, WINDOWS, KINDS = 5, 16, 4, 16
QUEUE_MIB = 128
REFUSED = {429, 503}


@dataclass(frozen=True, slots=True)
class _Asked:
    body: bytes
    size: int  #: of its JSON
    right: Mapping[str, list[str] | list[float]]


@dataclass(slots=True)
class Seen:
    """What was answered, and what the service held meanwhile."""

    right: int = 0
    wrong: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)  #: by what was raised
    mib: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  #: of what was judged, from request to answer


def measure() -> list[Measure]:
    """A service in a process of its own, clients in this one."""
    seconds = LONG_S if os.environ.get("UNDERTONE_LONG") == "1" else SOAK_S
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder), seconds))


async def _measure(folder: Path, seconds: int) -> list[Measure]:
    requests = await asyncio.to_thread(_requests)
    crowd = aiohttp.TCPConnector(limit=0)  # else requests wait here, not there
    async with _service(folder) as (address, process), aiohttp.ClientSession(address, connector=crowd) as session:
        capacity = await _capacity(session, requests)
        progress(f"soak: {capacity:.0f} requests/s judged; twice that for {seconds} s")
        seen = await _soaked(session, requests, psutil.Process(process), 2 * capacity, seconds)
    return [_told(seen, capacity, seconds)]


def _told(seen: Seen, capacity: float, seconds: int) -> Measure:
    refused = sum(seen.statuses[status] for status in REFUSED)
    others = {status: count for status, count in seen.statuses.items() if status not in {200, *REFUSED}}
    grown = max(seen.mib) - seen.mib[0]
    ordered = sorted(seen.seconds)
    return Measure(
        "soak at twice the capacity, wrong or lost answers",
        seen.wrong + seen.lost.total() + sum(others.values()),
        "requests",
        goal="0",
        remarks=(
            f"{seconds} s at {2 * capacity:.0f} requests/s of {WINDOWS} windows: {seen.right:,} right, {refused:,} told"
            f" to come again, other {dict(seen.lost) | others}; judged in {ordered[len(ordered) // 2]:.1f} s (median),"
            f" {ordered[int(0.99 * len(ordered))]:.1f} s (p99); memory {seen.mib[0]:.0f} MiB before,"
            f" {grown:.0f} MiB more at most (queue: up to {QUEUE_MIB}), {seen.mib[-1] - seen.mib[0]:.0f} at the end"
        ),
    )


@asynccontextmanager
async def _service(folder: Path) -> AsyncIterator[tuple[str, int]]:
    """Its address and process id, once it is ready."""
    port = free_port()
    told = {
        "UNDERTONE_INFERENCE_PORT": str(port),
        "UNDERTONE_INFERENCE_ALLOW_DEMO_BUNDLE": "true",
        "UNDERTONE_INFERENCE_MAX_QUEUED_BYTES": str(QUEUE_MIB << 20),
        "OPENBLAS_NUM_THREADS": "1",
    }
    argv = (sys.executable, "-m", "services.inference")
    service = start(Program("inference", argv, log=folder / "inference.log", env=told, folder=ROOT))
    try:
        address = f"http://127.0.0.1:{port}"
        await _ready(address)
        yield address, service.pid
    finally:
        service.terminate()
        service.wait()


async def _ready(address: str) -> None:
    async with aiohttp.ClientSession(address) as session:
        for _ in range(300):
            try:
                async with session.get("/v2/health/ready") as response:
                    if response.ok:
                        return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)
    raise RuntimeError("the inference service does not start")


def _requests() -> list[_Asked]:
    """Requests, and what is right to answer: each judged here, by itself."""
    bundle, random_ = load_bundle(DEMO), random.Random(0)  # noqa: S311 - no secret
    spoken = customers()
    wanted = [output["name"] for output in metadata(bundle)["outputs"]]
    found = []
    for _ in range(KINDS):
        body, size = body_of([_window(spoken, random_) for _ in range(WINDOWS)], wanted)
        asked, sent = read(body, size, WINDOWS)
        found.append(_Asked(body, size, _said(reply(bundle, heard(bundle, sent), asked).body)))
    return found


def _said(body: bytes) -> dict[str, list[str] | list[float]]:
    """Output -> its values."""
    return {output["name"]: output["data"] for output in msgspec.json.decode(body)["outputs"]}


def _is_right(said: Mapping[str, list[str] | list[float]], right: Mapping[str, list[str] | list[float]]) -> bool:
    """The same classes and reasons, and the same probabilities but for rounding, which depends on neighbours."""
    texts = {name for name, values in right.items() if isinstance(values[0], str)}
    return said.keys() == right.keys() and all(
        said[name] == values if name in texts else np.allclose(said[name], values, rtol=0, atol=1e-4)
        for name, values in right.items()
    )


def _window(spoken: NDArray[np.int16], random_: random.Random) -> NDArray[np.int16]:
    length = int(random_.uniform(2.5, 12) * RATE)
    at = random_.randrange(len(spoken) - length)
    return spoken[at : at + length]


def body_of(windows: Sequence[NDArray[np.int16]], wanted: Sequence[str]) -> tuple[bytes, int]:
    """A request with binary tensors for a reply in JSON, and the length of its own JSON."""
    data = {
        "samples": ("INT16", np.concatenate(windows)),
        "lengths": ("INT32", np.array([len(window) for window in windows], np.int32)),
        "rate": ("INT32", np.array([RATE], np.int32)),
    }
    inputs = []
    for name, (kind, values) in data.items():
        inputs.append(InferInput(name, list(values.shape), kind).set_data_from_numpy(values))
    outputs = [InferRequestedOutput(name, binary_data=False) for name in wanted]
    body, size = InferenceServerClient.generate_request_body(inputs, outputs)
    return body, size


async def _capacity(session: aiohttp.ClientSession, requests: Sequence[_Asked]) -> float:
    """Requests a second, with as many clients as keep it busy."""
    seen, until = Seen(), time.monotonic() + CAPACITY_S

    async def client(number: int) -> None:
        while time.monotonic() < until:
            number += 1
            await _ask(session, requests[number % KINDS], seen)

    await asyncio.gather(*map(client, range(CLIENTS)))
    return seen.right / CAPACITY_S


async def _soaked(
    session: aiohttp.ClientSession,
    requests: Sequence[_Asked],
    process: psutil.Process,
    rate: float,
    seconds: int,
) -> Seen:
    """Requests at a rate that does not wait for answers."""
    seen, asking = Seen(), set[asyncio.Task[None]]()
    began, asked, said = time.monotonic(), 0, 0
    while (now := time.monotonic() - began) < seconds:
        while asked < now * rate:
            task = asyncio.create_task(_ask(session, requests[asked % KINDS], seen))
            asking.add(task)
            task.add_done_callback(asking.discard)
            asked += 1
        seen.mib.append(process.memory_info().rss / (1 << 20))
        if now // 10 > said:
            said = int(now // 10)
            progress(
                f"soak: {now:.0f} of {seconds} s, {seen.right:,} right, {seen.wrong} wrong, {seen.mib[-1]:.0f} MiB"
            )
        await asyncio.sleep(0.02)
    await asyncio.gather(*asking)
    await asyncio.sleep(1)
    seen.mib.append(process.memory_info().rss / (1 << 20))
    return seen


async def _ask(session: aiohttp.ClientSession, asked: _Asked, seen: Seen) -> None:
    began, headers = time.monotonic(), {HEADER_LENGTH: str(asked.size)}
    try:
        async with session.post("/v2/models/demo/infer", data=asked.body, headers=headers) as response:
            answer = await response.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        seen.lost[type(error).__name__] += 1
        return
    seen.statuses[response.status] += 1
    if response.status == 200:
        seen.seconds.append(time.monotonic() - began)
        right = _is_right(_said(answer), asked.right)
        seen.right += right
        seen.wrong += not right
