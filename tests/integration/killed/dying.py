"""A worker of the stream whose process dies by SIGSEGV at what `DEADLY` names; run as a program by the test beside it.

`DEADLY` is the SHA-256 of a chunk's payload for the segment stage, a window's id for the others. Inference is a twin.
"""

import os
import signal
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from streams import app
from streams.__main__ import main
from streams.adapters.fixed_emotion import FixedEmotion
from streams.domain.records import Label, Window
from streams.domain.schemes import EMODB
from streams.stages import escalate, label, segment

DEADLY = os.environ["DEADLY"]


class Emotion:
    """The inference service, always there."""

    waiting = False

    async def label(self, windows: Sequence[Window]) -> list[Label]:
        """As the twin has it."""
        return await FixedEmotion({"demo": EMODB}, {}).label(windows)

    async def close(self) -> None:
        """Nothing is open."""


def dying(check: Callable[[Any], Any], id_of: Callable[[Any], str]) -> Callable[[Any], Any]:
    def die_or_check(record: Any) -> Any:  # noqa: ANN401 - a window or a label
        if id_of(record) == DEADLY:
            os.kill(os.getpid(), signal.SIGSEGV)
        return check(record)

    return die_or_check


def deadly_to_hear(hear: Callable[..., Any]) -> Callable[..., Any]:
    def die_or_hear(model: Any, chunks: Any, telling: Any) -> Any:  # noqa: ANN401 - as `hear`
        if any(sha256(chunk.audio.data).hexdigest() == DEADLY for _, chunk, _ in chunks):
            os.kill(os.getpid(), signal.SIGSEGV)
        return hear(model, chunks, telling)

    return die_or_hear


if __name__ == "__main__":
    app._CONSUMER = {**app._CONSUMER, "session_timeout_ms": 6_000}  # the broker's least: each death costs as much
    app.InferenceClient = lambda *_: Emotion()  # type: ignore[assignment, attr-defined]
    label.check_window = dying(label.check_window, lambda window: window.id)  # type: ignore[assignment, attr-defined]
    escalate.check_label = dying(escalate.check_label, lambda label: label.window_id)  # type: ignore[assignment, attr-defined]
    segment.hear = deadly_to_hear(segment.hear)  # type: ignore[attr-defined]
    main()
