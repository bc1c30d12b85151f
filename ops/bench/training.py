"""Training the heads on what is computed already: seconds and peak memory, each point in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

from results import Measure, progress

#: `UNDERTONE_LONG=1` takes the paper's size: about 14,000 windows of 7.3 s, 364 frames each.
WINDOWS, LONG_WINDOWS = 3_000, 14_000
NETWORK_WINDOWS, FRAMES, LONG_FRAMES = 400, 100, 364
WORKER = Path(__file__).with_name("training_work.py")


def measure() -> list[Measure]:
    """SVM heads against scikit-learn's own way, at the small size alone, then a five-fold run of DNN-SP."""
    longer = os.environ.get("UNDERTONE_LONG") == "1"
    found = [_against_scikit_learn()]
    if longer:
        found.append(_alone(f"SVM, six heads, {LONG_WINDOWS:,} windows", ("machines", LONG_WINDOWS, 0)))
    windows, frames = (LONG_WINDOWS, LONG_FRAMES) if longer else (NETWORK_WINDOWS, FRAMES)
    name = f"DNN-SP, six heads, five folds, {windows:,} windows of {frames} frames"
    return [*found, _alone(name, ("network", windows, frames))]


def _against_scikit_learn() -> Measure:
    ours, theirs = _point("machines", WINDOWS, 0), _point("machines-apart", WINDOWS, 0)
    return Measure(
        name=f"SVM, six heads, {WINDOWS:,} windows",
        value=ours["s"],
        unit="s",
        baseline=theirs["s"],
        ratio=theirs["cpu_s"] / ours["cpu_s"],
        goal="stated",
        remarks=f"ratio of CPU; {_remarks(ours)}; a kernel a machine, as scikit-learn has it: {_remarks(theirs)}",
    )


def _alone(name: str, point: tuple[str, int, int]) -> Measure:
    found = _point(*point)
    return Measure(name, found["s"], "s", goal="stated", remarks=_remarks(found))


def _remarks(point: dict[str, float]) -> str:
    memory = f"{point['peak_mb']:,.0f} MB at the peak, {point['before_mb']:,.0f} MB before"
    return f"one thread, {point['cpu_s']:,.1f} s of CPU, {memory}"


def _point(head: str, windows: int, frames: int) -> dict[str, float]:
    progress(f"training: {head}, {windows:,} windows")
    argv = (sys.executable, str(WORKER), head, str(windows), str(frames))
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    ended = subprocess.run(argv, stdout=subprocess.PIPE, check=True, text=True, env=os.environ | one)
    found: dict[str, float] = json.loads(ended.stdout)
    return found
