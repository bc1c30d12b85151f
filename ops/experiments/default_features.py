"""The default features against ComParE 2016 on unheard speakers, the design chosen without the speaker who is scored.

    python ops/experiments/default_features.py ../shared/data/emodb4 [--compare FOLDER]

For each speaker the design (which values, which training copies) is the one with the least log loss
leaving one of the other nine out; only then is the speaker scored. FOLDER holds what reference_figures.py wrote:
ComParE's answers. Prints Markdown tables. Windows that are scored are never altered, and no other window of their
speaker is looked at.
"""

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import soxr
from rich.progress import track
from unheard import (
    WIDE,
    Classes,
    Rows,
    Samples,
    Speech,
    difference,
    interval,
    one_vs_rest,
    read_speech,
)
from unheard import standardised as in_units

from services.emotion.features.functionals import Functionals
from services.emotion.features.functionals2 import Functionals2, Functionals2Wide
from services.emotion.heads import FAR, Heads, decisions
from services.training.audio import TELEPHONE_RATE, resampled, telephoned
from services.training.machines import fit, targets
from streams.domain.schemes import EMODB

SEED = 7
BANDS = ("wide", "telephone")
SPEEDS = {"slower": 0.9, "faster": 1.1}  #: another speaker: pitch, formants and tempo change together
LINES = ("line1", "line2")  #: another line: tilt and noise
TILT_DB = 3.0  #: an octave, at most
NOISE_DB = (15.0, 35.0)  #: under the voice
FACTORS = np.geomspace(0.1, 20, 50)  #: of a softmax over decision values
FEATURES = ("functionals-1", "functionals-2")
COPIES = {"none": (), "lines": LINES, "lines and speeds": (*SPEEDS, *LINES)}


@dataclass(frozen=True, slots=True)
class Design:
    """Which values, which training copies; the machines are the paper's."""

    feature: str
    copies: str


DESIGNS = [Design(feature, copies) for feature in FEATURES for copies in COPIES]


def altered(kind: str, wide: Samples, rng: np.random.Generator) -> Samples:
    """A training copy at 16 kHz."""
    if kind in SPEEDS:
        return soxr.resample(wide, WIDE * SPEEDS[kind], WIDE)
    return _on_a_line(wide, rng) if kind in LINES else wide


def _on_a_line(wide: Samples, rng: np.random.Generator) -> Samples:
    hertz = np.maximum(np.fft.rfftfreq(len(wide), 1 / WIDE), 50)
    tilt = 10 ** (rng.uniform(-TILT_DB, TILT_DB) * np.log2(hertz / 1000) / 20)
    voice = np.fft.irfft(np.fft.rfft(wide) * tilt, len(wide))
    colour = hertz ** rng.uniform(-0.5, 0)
    noise = np.fft.irfft(np.fft.rfft(rng.normal(size=len(wide))) * colour, len(wide))
    share = 10 ** (-rng.uniform(*NOISE_DB) / 20) * voice.std() / noise.std()
    return (voice + share * noise).astype(np.float32)


def described(speech: Speech, band: str, kind: str) -> dict[str, Rows]:
    """Feature -> (recordings, values) of one kind of copy."""
    order = ["plain", *SPEEDS, *LINES].index(kind)
    copies = [altered(kind, wide, np.random.default_rng([SEED, order, at])) for at, wide in enumerate(speech.wide)]
    narrow = [
        telephoned(wide, WIDE) if band == "telephone" else resampled(wide, WIDE, TELEPHONE_RATE) for wide in copies
    ]
    second, windows = (Functionals2(), narrow) if band == "telephone" else (Functionals2Wide(), copies)
    first = Functionals().vectors(narrow)
    return {
        name: found[:, 0].astype(np.float64)
        for name, found in zip(FEATURES, (first, second.vectors(windows)), strict=True)
    }


def scored(speech: Speech, data: dict[str, dict[str, Rows]], design: Design, left_out: tuple[str, ...]) -> Rows:
    """Decision values of the speakers left out, NaN for the others: (recordings, classes)."""
    test = np.isin(speech.speakers, left_out)
    kinds = ("plain", *COPIES[design.copies])
    train = np.concatenate([data[kind][design.feature][~test] for kind in kinds])
    known, unheard = in_units(train, data["plain"][design.feature][test], FAR)
    found = np.full((len(test), speech.classes.max() + 1), np.nan)
    found[test] = one_vs_rest(known, np.tile(speech.classes[~test], len(kinds)), unheard)
    return found


Scores = dict[tuple[Design, tuple[str, ...]], Rows]


def score_all(speech: Speech, data: dict[str, dict[str, Rows]], band: str) -> Scores:
    """Every design without every speaker and every two speakers."""
    everyone = speech.everyone()
    left_out = [*((one,) for one in everyone), *combinations(everyone, 2)]
    jobs = [(design, out) for out in left_out for design in DESIGNS]
    return {job: scored(speech, data, *job) for job in track(jobs, description=f"{band} machines")}


def inner(speech: Speech, scores: Scores, design: Design, without: str) -> Rows:
    """Decision values of the other speakers, each left out of machines that never heard `without` either; else NaN."""
    found = np.full((len(speech.classes), speech.classes.max() + 1), np.nan)
    for one in speech.everyone():
        if one != without:
            at, (first, second) = speech.speakers == one, sorted((one, without))
            found[at] = scores[design, (first, second)][at]
    return found


def log_loss(logits: Rows, classes: Classes) -> float:
    """Of a softmax, each class weighing alike."""
    logits = logits - logits.max(axis=1, keepdims=True)
    certainty = logits[np.arange(len(classes)), classes] - np.log(np.exp(logits).sum(axis=1))
    return float(-np.mean([certainty[classes == index].mean() for index in np.unique(classes)]))


def outer(speech: Speech, scores: Scores, design: Design) -> Classes:
    """What one design says of each speaker, trained on the others."""
    said = np.zeros_like(speech.classes)
    for one in speech.everyone():
        at = speech.speakers == one
        said[at] = scores[design, (one,)][at].argmax(axis=1)
    return said


def nested(speech: Speech, scores: Scores) -> tuple[Classes, dict[str, Design]]:
    """What the design chosen on the other speakers says of each, and which it was."""
    said, chosen = np.zeros_like(speech.classes), {}
    for one in track(speech.everyone(), description="choosing"):
        best = min(DESIGNS, key=lambda design: _loss(speech, scores, design, one))
        at = speech.speakers == one
        said[at], chosen[one] = scores[best, (one,)][at].argmax(axis=1), best
    return said, chosen


def _loss(speech: Speech, scores: Scores, design: Design, without: str) -> float:
    """Log loss over the speakers other than `without`, each left out in turn, at the softmax factor that suits best.

    It takes account of every decision value; recall of 300 recordings jumps by a third of a point at each of them.
    """
    rows, others = inner(speech, scores, design, without), speech.speakers != without
    return min(log_loss(factor * rows[others], speech.classes[others]) for factor in FACTORS)


def speeds(speech: Speech) -> Iterator[str]:
    """Times real time on one core, CPU time: features and every head's decisions; openSMILE's functionals."""
    seconds = sum(map(len, speech.wide)) / WIDE
    telephones = [telephoned(wide, WIDE) for wide in speech.wide]
    for feature, windows in (
        (Functionals(), telephones),
        (Functionals2(), telephones),
        (Functionals2Wide(), speech.wide),
    ):
        feature.vectors(windows[:3])
        started = time.process_time()
        vectors = feature.vectors(windows)[:, 0]
        described_s = time.process_time() - started
        heads = _heads(vectors, speech.classes)
        started = time.process_time()
        decisions(heads, vectors)
        judged_s = time.process_time() - started
        yield f"{feature.name}: {seconds / (described_s + judged_s):.0f}, features alone {seconds / described_s:.0f}"
    yield from _opensmile(speech, seconds)


def _heads(vectors: Samples, classes: Classes) -> Heads:
    """Every head of the demo's scheme with as many support vectors as copies would give."""
    rng = np.random.default_rng(SEED)
    spread = vectors.std(axis=0)
    rows = np.concatenate([vectors + rng.normal(0, 0.3, vectors.shape) * spread for _ in range(5)]).astype(np.float32)
    labels = np.array(["anger", "happiness", "neutral", "sadness"])[np.tile(classes, 5)]
    return fit(EMODB, rows, targets(EMODB, labels.tolist()))


def _opensmile(speech: Speech, seconds: float) -> Iterator[str]:
    try:
        import opensmile  # noqa: PLC0415 - an extra whose licence forbids commercial use: a baseline alone
    except ModuleNotFoundError:
        yield "openSMILE: not installed, not measured"
        return
    smile = opensmile.Smile(opensmile.FeatureSet.ComParE_2016, opensmile.FeatureLevel.Functionals, num_workers=1)
    started = time.process_time()
    for wide in speech.wide:
        smile.process_signal(wide, WIDE)
    yield f"openSMILE ComParE 2016: {seconds / (time.process_time() - started):.0f}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--compare", type=Path, help="folder that reference_figures.py wrote")
    options = parser.parse_args()
    speech = read_speech(options.corpus)
    for band in BANDS:
        kinds = ["plain", *SPEEDS, *LINES]
        data = {kind: described(speech, band, kind) for kind in track(kinds, description=f"{band} features")}
        other = np.load(options.compare / f"compare-{band}.npy") if options.compare else None
        _table(speech, band, score_all(speech, data, band), other)
    print("\ntimes real time on one core, CPU time:", "; ".join(speeds(speech)), f"(load {os.getloadavg()[0]:.1f})")


def _table(speech: Speech, band: str, scores: Scores, other: Classes | None) -> None:
    said, chosen = nested(speech, scores)
    print(f"\n| {band} | copies | UAR, % |\n| --- | --- | --- |")
    for design in DESIGNS:
        print(f"| {_named(design)} | {interval(speech, outer(speech, scores, design))} |")
    print(f"| chosen without the speaker | {len(DESIGNS)} designs | {interval(speech, said)} |")
    if other is not None:
        cells = f"{speech.recall(other):.1f} | {difference(speech, said, other)}"
        print(f"| ... less ComParE 2016, linear | {cells} |")
    print("\nchosen:", "; ".join(f"{one}: {_named(design)}" for one, design in chosen.items()))
    print("confusions (rows: true):", _confusions(speech, said).tolist())


def _named(design: Design) -> str:
    return f"{design.feature} | {design.copies}"


def _confusions(speech: Speech, said: Classes) -> Classes:
    size = speech.classes.max() + 1
    return np.bincount(speech.classes * size + said, minlength=size**2).reshape(size, size)


if __name__ == "__main__":
    main()
