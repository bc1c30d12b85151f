"""How far windows of real calls lie from the training windows, for each set of functionals.

    python ops/experiments/call_distances.py ../shared/data/emodb4 ../shared/data/calls8k/*.wav

Calls are cut blindly every 5 s, each channel for itself; silent windows are left out. A distance is the mean squared
difference in standard deviations, clipped as the heads clip; beside it stands that of a training window from the
nearest one of another speaker.
"""

import sys
from pathlib import Path

import numpy as np
import soundfile
from rich.progress import track
from unheard import WIDE, Rows, Samples, Speech, read_speech, squares, standardised

from services.emotion.abstention import SILENT_RMS
from services.emotion.features.feature import Feature
from services.emotion.features.functionals import Functionals
from services.emotion.features.functionals2 import Functionals2
from services.emotion.heads import FAR
from services.training.audio import TELEPHONE_RATE, telephoned

WINDOW = 5 * TELEPHONE_RATE
LEVELS = (5, 50, 95)


def windows(path: Path) -> list[Samples]:
    """Each channel's windows of 5 s with sound in them."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if rate != TELEPHONE_RATE:
        sys.exit(f"{path}: is at {rate} Hz; only recordings at {TELEPHONE_RATE} Hz are read here")
    cut = (channel[at : at + WINDOW] for channel in samples.T for at in range(0, len(channel) - WINDOW + 1, WINDOW))
    return [np.ascontiguousarray(window) for window in cut if window.std() > SILENT_RMS]


def row(name: str, distances: Rows) -> str:
    """A line of the table."""
    cells = " | ".join(f"{value:.2f}" for value in np.percentile(distances, LEVELS))
    return f"| {name} | {len(distances)} | {cells} |"


def between_speakers(speech: Speech, points: Rows) -> Rows:
    """Each training window's distance from the nearest one of another speaker."""
    every = squares(points, points) / points.shape[1]
    every[speech.speakers[:, None] == speech.speakers] = np.inf
    return every.min(axis=1)


def main() -> None:
    """Print a table."""
    speech = read_speech(Path(sys.argv[1]))
    train = [telephoned(wide, WIDE) for wide in speech.wide]
    calls = {Path(name).stem: windows(Path(name)) for name in sys.argv[2:]}
    print("| windows | n | " + " | ".join(f"p{level}" for level in LEVELS) + " |\n| --- | --- | --- | --- | --- |")
    features: tuple[Feature, ...] = (Functionals(), Functionals2())
    for feature in track(features, description="features"):
        known = feature.vectors(train)[:, 0].astype(np.float64)
        points, _ = standardised(known, known, FAR)
        print(row(f"{feature.name}: training, nearest of another speaker", between_speakers(speech, points)))
        for name, found in calls.items():
            _, strange = standardised(known, feature.vectors(found)[:, 0].astype(np.float64), FAR)
            print(row(f"{feature.name}: {name}", squares(strange, points).min(axis=1) / points.shape[1]))


if __name__ == "__main__":
    main()
