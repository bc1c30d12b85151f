"""Memory and CPU of an open call in the segment stage: by how many there are, and by how long they go on."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from results import Measure, progress

#: (calls, seconds of media time); `UNDERTONE_LONG=1` adds the last ones, which take about ten minutes each.
BY_CALLS, MANY = [(10, 30), (100, 30), (1_000, 30)], (10_000, 30)
BY_LENGTH, LONG = [(10, 60), (10, 600), (10, 3_600)], (10, 8 * 3_600)
KINDS = {"": 2, " on one channel": 1}  #: channels
WORKER = Path(__file__).with_name("memory_work.py")


def measure() -> list[Measure]:
    """Each point in a process of its own."""
    longer = os.environ.get("UNDERTONE_LONG") == "1"
    found: list[Measure] = []
    for kind in KINDS:
        by_calls, by_length = BY_CALLS + [MANY] * longer, BY_LENGTH + [LONG] * longer
        found += _measures(kind, "by open calls", by_calls, lambda calls, _: f"{calls:,} calls")
        found += _measures(kind, "by length", by_length, lambda _, seconds: f"{seconds:,} s")
    return found


def _measures(
    kind: str, what: str, points: Sequence[tuple[int, int]], name: Callable[[int, int], str]
) -> list[Measure]:
    said = {name(*point): _point(*point, KINDS[kind]) for point in points}
    figures = {"memory of a call": ("state_kb", "kB"), "memory of the process, a call": ("process_kb", "kB")}
    figures |= {"CPU a second of a call": ("ms", "ms")}
    return [
        _flat(f"{figure}{kind}, {what}", unit, {point: values[key] for point, values in said.items()})
        for figure, (key, unit) in figures.items()
    ]


def _flat(name: str, unit: str, points: Mapping[str, float]) -> Measure:
    """The last point; how flat is how many times the largest is the smallest."""
    times = max(points.values()) / min(points.values())
    each = ", ".join(f"{point}: {value:.3g}" for point, value in points.items())
    remarks = f"largest / smallest {times:.2f}; {each}"
    return Measure(name, [*points.values()][-1], unit, goal="flat", remarks=remarks)


def _point(calls: int, seconds: int, channels: int) -> dict[str, float]:
    progress(f"memory: {calls:,} calls of {seconds:,} s, {channels} channel(s)")
    argv = (sys.executable, str(WORKER), str(calls), str(seconds), str(channels))
    ended = subprocess.run(argv, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, float] = json.loads(ended.stdout)
    return found
