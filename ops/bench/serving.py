"""`python ops/bench/serving.py SERVER WORK PORT`: one model behind one server library, for `servers` to call."""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # a server's own processes start from this file

from aiohttp import web
from prometheus_client import CollectorRegistry
from spoken import RATE, judged

from services.emotion.bundle import DEMO, Bundle, load_bundle
from services.emotion.features.feature import Array
from services.inference.batching import split
from services.inference.model import heard, read, reply
from services.inference.server import InferenceServer
from services.inference.settings import InferenceSettings
from streams.metrics import Metrics

WINDOWS = 4  #: of a request
BATCH, WAIT_S = 64, 0.01  #: requests that are judged together, and how long the others' batches wait for them
HELD_S = 0.0004  #: that a GPU takes for a window of 5 s of XLS-R's shape (`bench-gpu`)

BUNDLE = load_bundle(DEMO)


class Encoder:
    """In the place of the bundle's feature: a processor waits for a GPU, and every window is heard as the same voice.

    All that comes before and after an encoder's pass is computed.
    """

    name, version, rate = BUNDLE.feature.name, BUNDLE.feature.version, RATE
    layers, values = BUNDLE.feature.layers, BUNDLE.feature.values

    def __init__(self) -> None:
        (spoken,) = judged(BUNDLE, 1, 5)
        self._vector = BUNDLE.feature.vectors([(spoken / 32_768).astype("f4")])

    def vectors(self, windows: Sequence[Array]) -> Array:
        """(n, layers, values)."""
        time.sleep(HELD_S * len(windows))
        return self._vector.repeat(len(windows), axis=0)


def answers(work: str, bodies: Sequence[tuple[bytes, int]]) -> list[bytes]:
    """What is answered to requests that are judged together."""
    asked = [read(body, size, WINDOWS) for body, size in bodies]
    said = heard(WORKS[work], [window for _, sent in asked for window in sent])
    parts = split(said, [len(sent) for _, sent in asked])
    return [reply(BUNDLE, part, request).body for (request, _), part in zip(asked, parts, strict=True)]


def serve(work: str, port: int) -> None:
    """The service itself."""
    settings = InferenceSettings(allow_demo_bundle=True, port=port)
    server = InferenceServer({settings.bundle: WORKS[work]}, settings, Metrics(CollectorRegistry()))
    web.run_app(server.app(), host="127.0.0.1", port=port, access_log=None, print=None, handler_cancellation=True)


WORKS: dict[str, Bundle] = {"demo": BUNDLE, "gpu": replace(BUNDLE, feature=Encoder())}

if __name__ == "__main__":
    served = {"ours": "serving", "mosec": "serving_mosec", "litserve": "serving_litserve"}[sys.argv[1]]
    import_module(served).serve(sys.argv[2], int(sys.argv[3]))
