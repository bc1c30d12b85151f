"""How long nothing is scored after a worker was killed, and how long a worker takes to stop."""

import asyncio
import os
import random
import signal
import tempfile
import time
from pathlib import Path

from live import SAMPLES, Watch, play, watching
from results import Measure, progress, quantile

from services.standalone.stack import Stack, running_stack

OPEN_CALLS, ROUNDS = 8, 5
WORKERS = ("segment", "label", "escalate")
PATIENCE_S = 60
SEED = int(os.environ.get("UNDERTONE_SEED", "1"))


def measure() -> list[Measure]:
    """Calls go on in real time meanwhile, one partition, so that every window waits for the killed worker."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> list[Measure]:
    chance = random.Random(SEED)  # noqa: S311 - a schedule, not a secret
    killed: list[float] = []
    stopped: list[float] = []
    async with running_stack(folder, demo_bundle=True, partitions=1) as stack, watching(stack) as watch:
        playing = [asyncio.create_task(play(stack, SAMPLES[n % 2], after_s=n, times=1_000)) for n in range(OPEN_CALLS)]
        await asyncio.sleep(15)
        for number in range(ROUNDS):
            for worker in WORKERS:
                await asyncio.sleep(chance.uniform(3, 6))
                killed.append(await _killed(stack, watch, worker))
                progress(f"restart {number + 1}/{ROUNDS}: {worker} killed, next window after {killed[-1]:.1f} s")
                await asyncio.sleep(chance.uniform(3, 6))
                stopped.append(await _stopped(stack, worker))
                await _next(watch, time.time())
        for task in playing:
            task.cancel()
        await asyncio.gather(*playing, return_exceptions=True)
    remarks = f"{len(killed)} kills of {', '.join(WORKERS)}, {OPEN_CALLS} calls, seed {SEED}; min to max beside"
    return [
        Measure(
            "kill -9 to next window scored, p95",
            quantile(killed, 0.95),
            "s",
            low=min(killed),
            high=max(killed),
            goal="15 s",
            remarks=f"first label of speech after the kill; {remarks}",
        ),
        Measure(
            "SIGTERM to exit, p95",
            quantile(stopped, 0.95),
            "s",
            low=min(stopped),
            high=max(stopped),
            goal="5 s",
            remarks=remarks.replace("kills", "stops"),
        ),
    ]


async def _killed(stack: Stack, watch: Watch, worker: str) -> float:
    process = stack.supervisor.process(worker)
    if process is None:
        raise RuntimeError(f"{worker} is not running")
    at = time.time()
    process.kill()
    return await _next(watch, at) - at


async def _next(watch: Watch, at: float) -> float:
    """When the first label of speech from after `at` was seen."""
    while time.time() < at + PATIENCE_S:
        if seen := [row.seen_at for row in watch.rows.values() if row.spoken_at > at]:
            return min(seen)
        await asyncio.sleep(0.05)
    raise RuntimeError(f"nothing was scored for {PATIENCE_S} s")


async def _stopped(stack: Stack, worker: str) -> float:
    """Seconds that the worker takes to end; the supervisor starts it again."""
    process = stack.supervisor.process(worker)
    if process is None:
        raise RuntimeError(f"{worker} is not running")
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    while process.poll() is None:  # noqa: ASYNC110 - a process sets no event
        await asyncio.sleep(0.01)
    if process.returncode:
        raise RuntimeError(f"{worker} ended with {process.returncode}")
    return time.monotonic() - began
