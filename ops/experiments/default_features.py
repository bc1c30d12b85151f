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
from services.training.copies import Copies, altered, learnt
from services.training.machines import fit, targets
from streams.domain.schemes import EMODB

SEED = 7
HEAD = "category"
BANDS = ("wide", "telephone")
FACTORS = np.geomspace(0.1, 20, 50)  #: of a softmax over decision values
FEATURES = ("functionals-1", "functionals-2")
KINDS = ("", *Copies.LINES_AND_SPEEDS.kinds)  #: all that any design learns from


@dataclass(frozen=True, slots=True)
class Design:
    """Which values, which training copies; the machines are the paper's."""

    feature: str
    copies: Copies


DESIGNS = [Design(feature, copies) for feature in FEATURES for copies in Copies]


Described = dict[str, dict[str, Samples]]  #: kind of copy -> feature -> (recordings, values)


def described(speech: Speech, band: str, kind: str) -> dict[str, Samples]:
    """Feature -> (recordings, values) of one kind of copy."""
    copies = [altered(kind, wide, WIDE) for wide in speech.wide]
    narrow = [
        telephoned(wide, WIDE) if band == "telephone" else resampled(wide, WIDE, TELEPHONE_RATE) for wide in copies
    ]
    second, windows = (Functionals2(), narrow) if band == "telephone" else (Functionals2Wide(), copies)
    first = Functionals().vectors(narrow)
    return {name: found[:, 0] for name, found in zip(FEATURES, (first, second.vectors(windows)), strict=True)}


def scored(speech: Speech, data: Described, design: Design, left_out: tuple[str, ...]) -> Rows:
    """Decision values of the speakers left out, NaN for the others: (recordings, classes)."""
    test = np.isin(speech.speakers, left_out)
    versions = np.stack([data[kind][design.feature] for kind in ("", *design.copies.kinds)], axis=1)
    train, wanted = learnt(versions[~test], {HEAD: speech.classes[~test]})
    known, unheard = in_units(train.astype(np.float64), versions[test, 0].astype(np.float64), FAR)
    found = np.full((len(test), speech.classes.max() + 1), np.nan)
    found[test] = one_vs_rest(known, wanted[HEAD], unheard)
    return found


Scores = dict[tuple[Design, tuple[str, ...]], Rows]


def score_all(speech: Speech, data: Described, band: str) -> Scores:
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
        data = {kind: described(speech, band, kind) for kind in track(KINDS, description=f"{band} features")}
        scores = score_all(speech, data, band)
        other = np.load(options.compare / f"compare-{band}.npy") if options.compare else None
        _table(speech, band, scores, other)
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
