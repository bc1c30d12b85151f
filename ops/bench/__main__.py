"""`python ops/bench [MEASURE ...]`: take every measure, or those named, one after the other."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # `withdrawal` runs on the site of `ops.chaos`

import crowd
import diarization
import encoder
import feed
import heads
import labels
import latency
import memory
import restart
import segment
import servers
import soak
import training
import vad
import withdrawal
from results import Measure, keep, progress

MEASURES: Mapping[str, Callable[[], Sequence[Measure]]] = {
    "feed": feed.measure,
    "vad": vad.measure,
    "segment": segment.measure,
    "labels": labels.measure,
    "heads": heads.measure,
    "encoder": encoder.measure,
    "live": crowd.measure,
    "latency": latency.measure,
    "restart": restart.measure,
    "memory": memory.measure,
    "withdrawal": withdrawal.measure,
    "training": training.measure,
    "diarization": diarization.measure,
    "soak": soak.measure,
    "servers": servers.measure,
}


def main() -> None:
    """Take the measures and keep what they say."""
    names = sys.argv[1:] or list(MEASURES)
    if unknown := [name for name in names if name not in MEASURES]:
        sys.exit(f"no measure {', '.join(unknown)}; there are {', '.join(MEASURES)}")
    for name in names:
        progress(f"{name} begins")
        keep(MEASURES[name]())


if __name__ == "__main__":
    main()
