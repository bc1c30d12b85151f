"""A bundle behind the protocol: what it says of itself, and a request's bytes to a reply's."""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray

from services.emotion.bundle import Bundle
from services.emotion.model import NO_CLASS, Judgements, judge_together, outcome_of
from services.inference.oip import (
    InferRequest,
    Ints,
    Reply,
    RequestError,
    Tensor,
    read_request,
    tensor_metadata,
    write_reply,
)

VERSION = "1"  #: the only one: a bundle's identity is its sha256
PLATFORM = "undertone_bundle"
INPUTS: Mapping[str, str] = {"samples": "INT16", "lengths": "INT32", "rate": "INT32"}
RATES = (8_000, 48_000)
MAX_SECONDS = 60  #: a window; far over what any bundle judges, far under what would hold up the others


def metadata(bundle: Bundle) -> dict[str, Any]:
    """Answer of /v2/models/NAME; `parameters` tells the classes of each head, in the order of its columns.

    Every head has an output HEAD.class, the class said, and where it is calibrated an output HEAD, the probabilities.
    """
    manifest = bundle.manifest
    heads = manifest.scheme.heads
    outputs = [tensor_metadata(head, "FP32", [-1, len(heads[head])]) for head in heads if head in manifest.calibration]
    texts = [*(f"{head}.class" for head in heads), "outcome", "reason"]
    return {
        "name": manifest.name,
        "versions": [VERSION],
        "platform": PLATFORM,
        "inputs": [
            tensor_metadata("samples", INPUTS["samples"], [-1]),
            tensor_metadata("lengths", INPUTS["lengths"], [-1]),
            tensor_metadata("rate", INPUTS["rate"], [1]),
        ],
        "outputs": [*outputs, *(tensor_metadata(name, "BYTES", [-1]) for name in texts)],
        "parameters": {
            "bundle_sha256": bundle.sha256,
            "scheme": manifest.scheme.name,
            "classes": heads,
            "uncalibrated": manifest.uncalibrated,
            "feature": manifest.feature.name,
            "rate": manifest.rate,
            "band": manifest.band,
            "window_rule": manifest.window_rule,
            "min_ms": manifest.limits.min_ms,
            "max_ms": manifest.limits.max_ms,
            "demo_only": manifest.limits.demo_only,
        },
    }


class Sent(NamedTuple):
    """A window as it was sent: while it waits it takes up no more than its request did."""

    samples: Ints  #: (n,), full scale 32768
    rate: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / self.rate


def read(body: bytes, header_length: int | None, max_windows: int) -> tuple[InferRequest, list[Sent]]:
    """A request and its windows. RequestError where it does not follow the protocol or the model's inputs."""
    request = read_request(body, header_length, INPUTS)
    return request, _windows(request.tensors, max_windows)


def heard(bundle: Bundle, windows: Sequence[Sent]) -> Judgements:
    """What the bundle says of windows as they were sent."""
    return heard_together([(bundle, windows)])[0]


def heard_together(parts: Sequence[tuple[Bundle, Sequence[Sent]]]) -> list[Judgements]:
    """The same of bundles that hear alike, each with its windows."""
    return judge_together(
        [(bundle, [_resampled(each, bundle.manifest.rate) for each in windows]) for bundle, windows in parts]
    )


def reply(bundle: Bundle, judged: Judgements, request: InferRequest) -> Reply:
    """What is answered to a request whose windows were judged."""
    model = {
        "model_name": bundle.manifest.name,
        "model_version": VERSION,
        "parameters": {"bundle_sha256": bundle.sha256},
    }
    return write_reply(model, _outputs(bundle, judged), request)


def _outputs(bundle: Bundle, judged: Judgements) -> dict[str, Tensor]:
    return {
        **judged.probabilities,
        **{f"{head}.class": _named(bundle, head, rows) for head, rows in judged.classes.items()},
        "outcome": [str(outcome_of(reason)) for reason in judged.reasons],
        "reason": ["" if reason is None else str(reason) for reason in judged.reasons],
    }


def _named(bundle: Bundle, head: str, rows: NDArray[np.int64]) -> list[str]:
    """The class said of each window, "" where none is."""
    names = bundle.manifest.scheme.heads[head]
    return [names[row] if row != NO_CLASS else "" for row in rows]


def _windows(tensors: Mapping[str, Ints], max_windows: int) -> list[Sent]:
    samples, lengths, given = tensors["samples"], tensors["lengths"], _rate(tensors["rate"])
    if not 1 <= len(lengths) <= max_windows:
        raise RequestError(f"input lengths: 1 to {max_windows} windows a request")
    if lengths.min() < 1 or lengths.max() > MAX_SECONDS * given:
        raise RequestError(f"input lengths: every window needs 1 sample to {MAX_SECONDS} s")
    if int(lengths.sum(dtype=np.int64)) != len(samples):
        raise RequestError("input lengths: their sum must be the number of samples")
    ends = accumulate(lengths.tolist(), initial=0)
    return [Sent(samples[start:end], given) for start, end in pairwise(ends)]


def _rate(tensor: Sequence[int] | Ints) -> int:
    low, high = RATES
    if len(tensor) != 1 or not low <= tensor[0] <= high:
        raise RequestError(f"input rate: one value, {low} to {high} Hz")
    return int(tensor[0])


def _resampled(window: Sent, rate: int) -> NDArray[np.float32]:
    """At the bundle's rate, full scale 1."""
    scaled = window.samples.astype(np.float32) / np.float32(32768)
    return scaled if window.rate == rate else soxr.resample(scaled, window.rate, rate)
