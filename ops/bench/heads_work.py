"""`heads` with the kernels that the environment names: prints its measures as JSON."""

import importlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray
from results import Measure, compared, progress
from sklearn.svm import SVC
from threadpoolctl import threadpool_info, threadpool_limits

from services.emotion.heads import Fast, Heads, decisions, fast, fast_decisions, standardised
from services.training.machines import Targets, Vectors, fit
from streams.domain.schemes import CC_DEBT

WINDOWS, VALUES = 8_000, 1_024
SHIFT = 0.055  #: between two classes, in standard deviations of a value: about 6,000 windows support each machine
BATCHES, ROUNDS = (1, 16, 64, 256), 3
CHECKED = 10_000  #: windows on which no label may differ
AT_LEAST_S = 0.2  #: a batch is scored again and again for so long
SEED = 4
EXTENSION = "sklearnex"  #: pip install scikit-learn-intelex; Apache-2.0, but its oneDAL is not: in no extra or group

Score = Callable[[NDArray[np.float64]], object]


def measure() -> list[Measure]:
    """Fit, check, then time all of them on the same batches in turn, on one thread."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # Intel's extension counts the cores that it may run on
    with threadpool_limits(1):
        vectors, wanted = planted(WINDOWS)
        progress("heads: fitting")
        heads = fit(CC_DEBT, vectors, wanted)
        unheard, _ = planted(CHECKED, seed=SEED + 1)
        machines = scikit_learns(heads)
        remarks = _checked(heads, machines, unheard)
        made, points = fast(heads), standardised(unheard, heads.mean, heads.scale).astype(np.float64)
        others = {"scikit-learn": _each(machines)}
        if extended := extension(heads, vectors, wanted):
            others["scikit-learn-intelex"] = _each(extended)
        pairs = [_round(number, made, others, unheard, points) for number in range(ROUNDS)]
    return [_measure(batch, other, pairs, remarks) for other in others for batch in BATCHES]


def planted(windows: int, *, seed: int = SEED) -> tuple[Vectors, Targets]:
    """Noise in which each class of each dimension is shifted its own way, the same for every seed."""
    random, shifts = np.random.default_rng(seed), np.random.default_rng(SEED)
    vectors = random.normal(size=(windows, VALUES))
    wanted: dict[str, NDArray[np.int64]] = {}
    for name, dimension in CC_DEBT.dimensions.items():
        said = random.integers(len(dimension.classes), size=windows)
        vectors += SHIFT * shifts.normal(size=(len(dimension.classes), VALUES))[said]
        binary = [[full in members for members in dimension.binary.values()].index(True) for full in dimension.classes]
        wanted |= {f"{name}.full": said, f"{name}.binary": np.array(binary)[said]}
    return vectors.astype(np.float32), wanted


def scikit_learns(heads: Heads) -> dict[int, SVC]:
    """Column -> scikit-learn's own machine with the coefficients of ours: to fit them there would take minutes."""
    return {column: _scikit_learns(heads, column) for column in _columns(heads)}


def _columns(heads: Heads) -> list[int]:
    """One a machine: of a pair that mirrors each other the second."""
    ends = np.cumsum([len(classes) for classes in heads.classes.values()])
    sizes = dict(zip(ends.tolist(), map(len, heads.classes.values()), strict=True))
    return [column for end, size in sizes.items() for column in range(end - (1 if size == 2 else size), end)]


def _scikit_learns(heads: Heads, column: int) -> SVC:
    dual = heads.dual[:, column]
    used = np.argsort(dual, kind="stable")
    used = used[dual[used] != 0]  # the support vectors of class 0, then those of class 1
    support = heads.support[used].astype(np.float64)
    made = SVC(gamma=heads.gamma).fit(support[[0, -1]], [0, 1])
    made.support_, made.support_vectors_ = used.astype(np.int32), support
    made._n_support = np.array([(dual < 0).sum(), (dual > 0).sum()], np.int32)  # noqa: SLF001 - what fit() would set
    made.dual_coef_, made.intercept_ = dual[None, used], heads.intercept[[column]]
    made._dual_coef_, made._intercept_ = -made.dual_coef_, -made.intercept_
    return made


def extension(heads: Heads, vectors: Vectors, wanted: Targets) -> dict[int, SVC]:
    """Column -> the machine as Intel's extension fits it; none where it is not installed."""
    try:
        svm = importlib.import_module(f"{EXTENSION}.svm")
    except ImportError as error:
        progress(f"heads: without scikit-learn-intelex ({error})")
        return {}
    progress("heads: fitting with scikit-learn-intelex")
    points = standardised(vectors, heads.mean, heads.scale).astype(np.float64)
    found = {}
    targets = [wanted[head] == at for head, classes in heads.classes.items() for at in range(len(classes))]
    for column in _columns(heads):
        made = svm.SVC(C=1, gamma=heads.gamma, class_weight="balanced")
        found[column] = made.fit(points, targets[column].astype(np.int64))
    return found


def _checked(heads: Heads, machines: dict[int, SVC], unheard: Vectors) -> str:
    """What is said of exactness; raises where a label differs or the machines are not scikit-learn's."""
    exact, (rough, again) = decisions(heads, unheard), fast_decisions(fast(heads), unheard)
    if any((exact[head].argmax(axis=1) != rough[head].argmax(axis=1)).any() for head in exact):
        raise RuntimeError("the fast path changed a label")
    apart = max(float(np.abs(exact[head] - rough[head]).max()) for head in exact)
    few = standardised(unheard[:64], heads.mean, heads.scale).astype(np.float64)
    ours = np.hstack(list(exact.values()))[:64]
    gap = max(float(np.abs(each.decision_function(few) - ours[:, column]).max()) for column, each in machines.items())
    if gap > 1e-10:
        raise RuntimeError(f"float64 differs from scikit-learn by {gap:.1e}")
    support = np.mean([len(each.support_) for each in machines.values()])
    return (
        f"{_kernels()}; {len(machines)} machines, {support:,.0f} support vectors each, {len(heads.support):,} in all;"
        f" no label of {CHECKED:,} differs, {again.mean():.2%} scored again; float32 is off by {apart:.0e},"
        f" float64 by {gap:.0e}"
    )


def _kernels() -> str:
    """The processor that numpy's products of matrices are written for."""
    named = {str(each.get("architecture")) for each in threadpool_info() if "numpy" in each["filepath"]}
    return f"numpy's kernels for {', '.join(sorted(named)) or 'an unknown processor'}"


def _each(machines: dict[int, SVC]) -> Score:
    return lambda points: [machine.decision_function(points) for machine in machines.values()]


def _round(
    number: int, made: Fast, others: dict[str, Score], unheard: Vectors, points: NDArray[np.float64]
) -> dict[tuple[int, str], tuple[float, float]]:
    """(batch, other) -> windows a second of ours and of the other on the same batches."""
    found = {}
    for batch in BATCHES:
        parts = [slice(at, at + batch) for at in range(0, CHECKED - batch + 1, batch)]
        ours = _rate(lambda part: fast_decisions(made, unheard[part]), parts)
        for name, score in others.items():
            theirs = _rate(lambda part, score=score: score(points[part]), parts)
            found[batch, name] = ours, theirs
            progress(f"heads {number + 1}/{ROUNDS}, batch {batch}: {ours:,.0f} windows a second, {name} {theirs:,.1f}")
    return found


def _rate(score: Callable[[slice], object], parts: Sequence[slice]) -> float:
    """Windows a second of the processor's time: other programs on the machine count less than by the clock."""
    score(parts[-1])  # what is done once is no part of it
    began, done = time.process_time(), 0
    for part in parts:
        score(part)
        done += part.stop - part.start
        if time.process_time() - began > AT_LEAST_S:
            break
    return done / (time.process_time() - began)


def _measure(
    batch: int, other: str, rounds: Sequence[dict[tuple[int, str], tuple[float, float]]], remarks: str
) -> Measure:
    goals = {"scikit-learn": "400", "scikit-learn-intelex": "25"}
    return compared(
        f"six heads of {batch} windows at once, against {other}",
        "windows/CPU-s",
        [pairs[batch, other] for pairs in rounds],
        goal=goals[other] if batch == max(BATCHES) else "stated",
        remarks=f"one thread; {remarks if batch == max(BATCHES) else _kernels()}",
    )


if __name__ == "__main__":
    print(json.dumps([asdict(each) for each in measure()]))
