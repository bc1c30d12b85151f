"""Who speaks when on one channel of a recording that is all there: a network's x-vectors, then VBx.

VBx publishes a network as a folder: `nnet/*.onnx`, `plda` and `transform.h5`, for 8 or for 16 kHz. pyannote's
`plda.npz` and `xvec_transform.npz` go with WeSpeaker's own ONNX export of the network that its pipeline holds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.emotion.features.sources import Model
from services.emotion.features.xvector import Span, XVector
from streams.speech import vbx
from streams.speech.activity import Samples, VoiceActivity
from streams.speech.plda import Plda
from streams.speech.plda_files import PldaError, read, read_npz
from streams.speech.regions import Region, regions
from streams.speech.resample import Floats, resample
from streams.speech.turns import SpeakerTurn
from streams.speech.vbx_turns import diarize

FRAME_MS = 10
WINDOW, STEP = 144, 24  #: frames of an x-vector, and from one to the next
SHORTEST = 10  #: frames that still make one
TELEPHONE_RATE = 8000
_FULL_SCALE = np.float32(32768)


@dataclass(frozen=True, slots=True)
class Network:
    """What tells speakers apart: a network, the space that was made for its vectors, and the HMM's parameters."""

    xvector: XVector
    plda: Plda
    settings: vbx.Settings


def open_network(folder: Path, device: str = "cpu") -> Network:
    """The network in `folder`, with the parameters published for its rate. FeatureError or PldaError."""
    nnet = folder / "nnet"
    xvector = XVector(Model(str(nnet if nnet.is_dir() else folder)), device)
    plda = _plda(folder)
    if len(plda.mean) != xvector.values:
        sizes = f"the network gives {xvector.values} values and the transform takes {len(plda.mean)}"
        raise PldaError(f"{folder}: {sizes}; put the files of one network there")
    return Network(xvector, plda, vbx.TELEPHONE if xvector.rate == TELEPHONE_RATE else vbx.MEETING)


def _plda(folder: Path) -> Plda:
    if (npz := folder / "plda.npz").exists():
        return read_npz(npz, folder / "xvec_transform.npz")
    return read(folder / "plda", folder / "transform.h5")


def whole_call(
    samples: Samples, rate: int, network: Network, on_progress: Callable[[int], None] = lambda _: None
) -> list[SpeakerTurn]:
    """Turns of one channel at `rate` Hz (8000 or 16000); `on_progress` gets the media time (ms) described so far.

    ValueError where there is more speech than can be clustered at once (40 minutes).
    """
    heard = regions(VoiceActivity(), rate, samples)
    channel = resample(samples[np.newaxis].astype(np.float32) / _FULL_SCALE, rate, network.xvector.rate)[0]
    segments, vectors = list[Region](), [np.empty((0, network.xvector.values), np.float32)]
    for region in heard:
        spans, found = _described(channel, region, network.xvector)
        segments += spans
        vectors.append(found)
        on_progress(region[1])
    told = np.array(segments, np.int64).reshape(-1, 2)
    return diarize(np.concatenate(vectors).astype(np.float64), told, network.plda, network.settings)


def windows(frames: int) -> list[Span]:
    """Where x-vectors are taken in so many frames of speech: the last one takes what is left."""
    starts = range(0, max(frames - WINDOW, 0), STEP)
    rest = starts[-1] + STEP if starts else 0
    last = [(rest, frames)] if frames - rest >= SHORTEST else []
    return [(start, start + WINDOW) for start in starts] + last


def _described(channel: Floats, region: Region, xvector: XVector) -> tuple[list[Region], Floats]:
    """Segments (ms) of a region of `channel` (samples,), and their x-vectors."""
    start_ms, end_ms = region
    speech = channel[start_ms * xvector.rate // 1000 : end_ms * xvector.rate // 1000]
    spans, vectors = xvector.along(speech, windows)
    segments = [(start_ms + start * FRAME_MS, start_ms + end * FRAME_MS) for start, end in spans]
    if segments:
        segments[-1] = (segments[-1][0], end_ms)
    return segments, vectors
