"""`python ops/bench/serving.py SERVER WORK PORT`: one model behind one server library, for `servers` to call."""

import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # a server's own processes start from this file

import numpy as np
from aiohttp import web
from prometheus_client import CollectorRegistry

from services.emotion.bundle import DEMO, load_bundle
from services.emotion.model import Judgements
from services.inference import server as ours
from services.inference.batching import split
from services.inference.model import Sent, heard, read, reply
from services.inference.settings import InferenceSettings
from streams.metrics import Metrics

WINDOWS = 4  #: of a request
BATCH, WAIT_S = 64, 0.01  #: requests that are judged together, and how long the others' batches wait for them
HELD_S = 0.0004  #: that a GPU takes for a window of 5 s of XLS-R's shape (`bench-gpu`)

Work = Callable[[Sequence[Sent]], Judgements]
BUNDLE = load_bundle(DEMO)


def demo(windows: Sequence[Sent]) -> Judgements:
    """The demo bundle, on a processor."""
    return heard(BUNDLE, windows)


def gpu(windows: Sequence[Sent]) -> Judgements:
    """A processor waiting for a GPU, and then what the bundle says of silence: one answer for all."""
    time.sleep(HELD_S * len(windows))
    return Judgements(
        _SAID.reasons * len(windows),
        {head: rows.repeat(len(windows), axis=0) for head, rows in _SAID.classes.items()},
        {head: rows.repeat(len(windows), axis=0) for head, rows in _SAID.probabilities.items()},
    )


def answers(work: str, bodies: Sequence[tuple[bytes, int]]) -> list[bytes]:
    """What is answered to requests that are judged together."""
    asked = [read(body, size, WINDOWS) for body, size in bodies]
    judged = WORKS[work]([window for _, sent in asked for window in sent])
    parts = split(judged, [len(sent) for _, sent in asked])
    return [reply(BUNDLE, part, request).body for (request, _), part in zip(asked, parts, strict=True)]


def serve(work: str, port: int) -> None:
    """The service itself."""
    ours.heard_together = lambda parts: [WORKS[work](windows) for _, windows in parts]  # type: ignore[assignment]  # of whatever bundle
    settings = InferenceSettings(allow_demo_bundle=True, port=port)
    server = ours.InferenceServer({settings.bundle: BUNDLE}, settings, Metrics(CollectorRegistry()))
    web.run_app(server.app(), host="127.0.0.1", port=port, access_log=None, print=None, handler_cancellation=True)


WORKS: dict[str, Work] = {"demo": demo, "gpu": gpu}
_SAID = demo([Sent(np.zeros(8_000, np.int16), 8_000)])  # silence

if __name__ == "__main__":
    served = {"ours": "serving", "mosec": "serving_mosec", "litserve": "serving_litserve"}[sys.argv[1]]
    import_module(served).serve(sys.argv[2], int(sys.argv[3]))
