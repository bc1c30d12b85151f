"""Loads networks and hears with them while every look-up and connection is refused and noted; prints both notes.

    python silent_models.py EMBEDDING SEGMENTATION HUB_ID

The first note is of the project's own doing. For the second the package is told to report, as it would by itself.
"""

import json
import os
import sys

NOTED: list[str] = []
WATCHED = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg")
SILENT: list[str] = []


def tell() -> None:
    """End at once: what the package has begun may wait for an answer."""
    sys.stdout.write(json.dumps({"silent": SILENT, "reporting": NOTED}))
    sys.stdout.flush()
    os._exit(0)


def watch(event: str, arguments: tuple[object, ...]) -> None:
    if event in WATCHED:
        NOTED.append(event)
        if os.environ.get("PYANNOTE_METRICS_ENABLED") == "true":
            tell()
        raise OSError(f"{event} is watched")


sys.addaudithook(watch)

import numpy as np  # noqa: E402 - whatever is imported is watched

from streams.speech import pyannote_models  # noqa: E402
from streams.speech.telling import open_telling  # noqa: E402

embedding, segmentation, hub_id = sys.argv[1:]
telling = open_telling(embedding, None, segmentation)
noise = np.random.default_rng(0).normal(0, 1000, 8000).astype(np.int16)
assert telling.voiceprints.embed(8000, [noise]).shape[0] == 1
assert telling.segmentation is not None
telling.segmentation.hear(8000, [np.resize(noise, telling.segmentation.window_ms * 8)])
pyannote_models.load(hub_id, pyannote_models.located(hub_id))

from pyannote.audio.telemetry import metrics  # noqa: E402 - only after ours has told it to be silent

metrics.provider.force_flush()
SILENT += NOTED
os.environ["PYANNOTE_METRICS_ENABLED"] = "true"
pyannote_models.SILENT["PYANNOTE_METRICS_ENABLED"] = "true"
pyannote_models.load(segmentation, pyannote_models.located(segmentation))
metrics.provider.force_flush()
tell()
