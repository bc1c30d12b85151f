"""Windows of speech from the repository's own sample calls, and whether a reply says a class of each that was sent."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.emotion.bundle import Bundle
from services.inference.model import Sent, heard
from services.recordings import open_recording, read
from streams.domain.records import Outcome

RATE = 8_000
SAMPLES = Path(__file__).parents[2] / "services" / "standalone" / "samples"

Window = NDArray[np.int16]


def customers() -> Window:
    """What the customers of both sample calls say, one after the other: (samples,) at `RATE`."""
    return np.concatenate([read(open_recording(SAMPLES / name))[1] for name in ("calm.wav", "angry.wav")])


def judged(bundle: Bundle, count: int, seconds: int) -> list[Window]:
    """The first windows of so many seconds, end to end, that the bundle says classes of. RuntimeError: too few."""
    spoken, size = customers(), seconds * RATE
    cut = [spoken[at : at + size] for at in range(0, len(spoken) - size + 1, size)]
    reasons = heard(bundle, [Sent(each, RATE) for each in cut]).reasons
    found = [each for each, reason in zip(cut, reasons, strict=True) if reason is None]
    if len(found) < count:
        raise RuntimeError(f"{bundle.manifest.name} judges {len(found)} windows of the samples, not {count}")
    return found[:count]


def refuse_unjudged(replies: Sequence[bytes], windows: int) -> None:
    """RuntimeError where one of the replies does not say of so many windows that they were labelled."""
    for reply in replies:
        labelled = reply.count(str(Outcome.LABELLED).encode())
        if labelled != windows:
            raise RuntimeError(f"a reply labels {labelled} windows of {windows}: what is measured is not judged")
