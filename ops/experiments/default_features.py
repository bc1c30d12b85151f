"""The default features against ComParE 2016 on unheard speakers, the design chosen without the speaker who is scored.

    python ops/experiments/default_features.py ../shared/data/emodb4 [--compare FOLDER]

For each speaker the design (which values, which training copies, whose intercepts) is the one that does best leaving
one of the other nine out; only then is the speaker scored. FOLDER holds what reference_figures.py wrote: ComParE's
answers. Prints Markdown tables. Windows that are scored are never altered, and no other window of their speaker is
looked at.
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
from numpy.typing import NDArray
from rich.progress import track
from scipy.optimize import minimize
from unheard import (
    NARROW,
    WIDE,
    Classes,
    Rows,
    Samples,
    Speech,
    difference,
    interval,
    one_vs_rest,
    read_speech,
    telephone,
)
from unheard import standardised as in_units

from services.emotion.features import functionals2
from services.emotion.features.functionals import Functionals
from services.emotion.features.functionals2 import Functionals2, Functionals2Wide
from services.emotion.heads import FAR, Heads, decisions
from services.training.machines import fit, targets
from streams.domain.schemes import EMODB

SEED = 7
BANDS = ("wide", "telephone")
SPEEDS = {"slower": 0.9, "faster": 1.1}  #: another speaker: pitch, formants and tempo change together
LINES = ("line1", "line2")  #: another line: tilt and noise
TILT_DB = 3.0  #: an octave, at most
NOISE_DB = (15.0, 35.0)  #: under the voice
FILL = 3  #: every class is filled up to this many times the largest
MIX = (0.3, 0.7)
FEATURES = {
    "functionals-1": "",
    "functionals-2": "",
    "functionals-2 less cepstral covariance": "cepstral.",
}
COPIES = {"none": (), "lines": LINES, "lines and speeds": (*SPEEDS, *LINES), "lines, filled": LINES}


@dataclass(frozen=True, slots=True)
class Training:
    """Which values, which copies."""

    feature: str
    copies: str


@dataclass(frozen=True, slots=True)
class Design:
    """What may be chosen; `shifted`: intercepts set on training speakers, each held out of the machines."""

    training: Training
    shifted: bool


TRAININGS = [
    *(Training(feature, copies) for feature in tuple(FEATURES)[1:] for copies in COPIES),
    *(Training("functionals-1", copies) for copies in ("none", "lines")),
]
DESIGNS = [Design(training, shifted) for training in TRAININGS for shifted in (False, True)]


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
    narrow = [telephone(wide) if band == "telephone" else soxr.resample(wide, WIDE, NARROW) for wide in copies]
    second, windows = (Functionals2(), narrow) if band == "telephone" else (Functionals2Wide(), copies)
    vectors = second.vectors(windows)[:, 0].astype(np.float64)
    kept = [not name.startswith("cepstral.") for name in functionals2.names(second.rate)]
    first = Functionals().vectors(narrow)[:, 0].astype(np.float64)
    return dict(zip(FEATURES, (first, vectors, vectors[:, kept]), strict=True))


def filled(rows: Rows, classes: Classes, speakers: NDArray[np.str_], size: int) -> tuple[Rows, Classes]:
    """Every class filled up to `size` rows by rows between two of its own, of different speakers (SMOTE)."""
    rng, parts, labels = np.random.default_rng(SEED), [rows], [classes]
    for index in np.unique(classes):
        own = np.flatnonzero(classes == index)
        pairs = rng.choice(own, (2, 4 * size))
        pairs = pairs[:, speakers[pairs[0]] != speakers[pairs[1]]][:, : max(size - len(own), 0)]
        weight = rng.uniform(*MIX, pairs.shape[1])[:, None]
        parts.append(weight * rows[pairs[0]] + (1 - weight) * rows[pairs[1]])
        labels.append(np.full(pairs.shape[1], index))
    return np.concatenate(parts), np.concatenate(labels)


def scored(speech: Speech, data: dict[str, dict[str, Rows]], design: Training, left_out: tuple[str, ...]) -> Rows:
    """Decision values of the speakers left out, NaN for the others: (recordings, classes)."""
    test = np.isin(speech.speakers, left_out)
    kinds = ("plain", *COPIES[design.copies])
    train = np.concatenate([data[kind][design.feature][~test] for kind in kinds])
    classes, speakers = (np.tile(what[~test], len(kinds)) for what in (speech.classes, speech.speakers))
    known, unheard = in_units(train, data["plain"][design.feature][test], FAR)
    if design.copies == "lines, filled":
        size = FILL * np.bincount(speech.classes[~test]).max()
        known, classes = filled(known, classes, speakers, int(size))
    found = np.full((len(test), speech.classes.max() + 1), np.nan)
    found[test] = one_vs_rest(known, classes, unheard)
    return found


Scores = dict[tuple[Training, tuple[str, ...]], Rows]


def score_all(speech: Speech, data: dict[str, dict[str, Rows]], band: str) -> Scores:
    """Every training without every speaker and every two speakers."""
    everyone = speech.everyone()
    left_out = [*((one,) for one in everyone), *combinations(everyone, 2)]
    jobs = [(training, out) for out in left_out for training in TRAININGS]
    return {job: scored(speech, data, *job) for job in track(jobs, description=f"{band} machines")}


def inner(speech: Speech, scores: Scores, training: Training, without: str) -> Rows:
    """Decision values of the other speakers, each left out of machines that never heard `without` either; else NaN."""
    found = np.full((len(speech.classes), speech.classes.max() + 1), np.nan)
    for one in speech.everyone():
        if one != without:
            at, (first, second) = speech.speakers == one, sorted((one, without))
            found[at] = scores[training, (first, second)][at]
    return found


def shift(rows: Rows, classes: Classes) -> Rows:
    """What to add to the machines' intercepts, by a softmax's least log loss, each class weighing alike: (classes,)."""
    weights = 1 / np.bincount(classes)[classes]
    wanted = np.arange(len(classes)), classes

    def loss(parameters: Rows) -> float:
        logits = np.exp(parameters[0]) * (rows + np.append(parameters[1:], 0))
        logits -= logits.max(axis=1, keepdims=True)
        certainty = logits[wanted] - np.log(np.exp(logits).sum(axis=1))
        return float(-(weights @ certainty) / weights.sum())

    start = np.zeros(rows.shape[1])
    start[0] = 1
    return np.append(minimize(loss, start).x[1:], 0)


def outer(speech: Speech, scores: Scores, design: Design) -> Classes:
    """What one design says of each speaker, trained on the others."""
    said = np.zeros_like(speech.classes)
    for one in speech.everyone():
        at = speech.speakers == one
        rows = scores[design.training, (one,)][at]
        if design.shifted:
            held_out = inner(speech, scores, design.training, one)
            rows = rows + shift(held_out[~at], speech.classes[~at])
        said[at] = rows.argmax(axis=1)
    return said


def nested(speech: Speech, scores: Scores) -> tuple[Classes, dict[str, Design]]:
    """What the design chosen on the other speakers says of each, and which it was."""
    every = {design: outer(speech, scores, design) for design in DESIGNS}
    said, chosen = np.zeros_like(speech.classes), {}
    for one in track(speech.everyone(), description="choosing"):
        best = max(DESIGNS, key=lambda design: _promise(speech, scores, design, one))
        at = speech.speakers == one
        said[at], chosen[one] = every[best][at], best
    return said, chosen


def _promise(speech: Speech, scores: Scores, design: Design, without: str) -> float:
    """Recall over the speakers other than `without`, each left out in turn."""
    rows, others = inner(speech, scores, design.training, without), speech.speakers != without
    if design.shifted:
        before = rows.copy()
        for one in speech.everyone():
            rest = others & (speech.speakers != one)
            rows[speech.speakers == one] += shift(before[rest], speech.classes[rest])
    said = np.where(others, np.nan_to_num(rows).argmax(axis=1), 0)
    return speech.recall(said, others)


def speeds(speech: Speech) -> Iterator[str]:
    """Times real time on one core, CPU time: features and every head's decisions; openSMILE's functionals."""
    seconds = sum(map(len, speech.wide)) / WIDE
    telephones = [telephone(wide) for wide in speech.wide]
    labels = np.array(["anger", "happiness", "neutral", "sadness"])[speech.classes]
    for feature, windows in (
        (Functionals(), telephones),
        (Functionals2(), telephones),
        (Functionals2Wide(), speech.wide),
    ):
        feature.vectors(windows[:3])
        started = time.process_time()
        vectors = feature.vectors(windows)[:, 0]
        described_s = time.process_time() - started
        heads = _heads(vectors, labels)
        started = time.process_time()
        decisions(heads, vectors)
        yield f"{feature.name}: {seconds / (described_s + time.process_time() - started):.0f}"
    yield from _opensmile(speech, seconds)


def _heads(vectors: Samples, labels: NDArray[np.str_]) -> Heads:
    return fit(EMODB, vectors, targets(EMODB, labels.tolist()))


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
    print(f"\n| {band} | copies | intercepts | UAR, % |\n| --- | --- | --- | --- |")
    for design in DESIGNS:
        print(f"| {_named(design)} | {interval(speech, outer(speech, scores, design))} |")
    print(f"| chosen without the speaker | {len(DESIGNS)} designs | | {interval(speech, said)} |")
    if other is not None:
        cells = f"{speech.recall(other):.1f} | {difference(speech, said, other)}"
        print(f"| ... less ComParE 2016, linear | | {cells} |")
    print("\nchosen:", "; ".join(f"{one}: {_named(design)}" for one, design in chosen.items()))
    print("confusions (rows: true):", _confusions(speech, said).tolist())


def _named(design: Design) -> str:
    training = design.training
    return f"{training.feature} | {training.copies} | {'shifted' if design.shifted else 'own'}"


def _confusions(speech: Speech, said: Classes) -> Classes:
    size = speech.classes.max() + 1
    return np.bincount(speech.classes * size + said, minlength=size**2).reshape(size, size)


if __name__ == "__main__":
    main()
