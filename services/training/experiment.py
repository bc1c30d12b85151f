"""An experiment, run: every fold of every system that is not done yet, each kept as soon as it is."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.emotion.abstention import Band
from services.emotion.features.feature import Feature, Framewise, has_frames
from services.training.corpora.corpus import Corpus
from services.training.errors import SchemeError
from services.training.folds import Folds, split, usual
from services.training.harmonise import Harmonised, harmonise
from services.training.kinds import KINDS, Progress, Side, Task, quiet
from services.training.plan import DataPlan, FeaturePlan, Plan, PlanError
from services.training.results import ALL, NO_BAND, NO_FEATURE, Held, Store, System, Times, hashed
from streams.domain.schemes import Scheme

Rows = NDArray[np.int64]
Vectors = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where an experiment gets what it works on: functions, so that tests can bring corpora that live in memory."""

    corpus: Callable[[str], Corpus]
    scheme: Callable[[str], Scheme]
    feature: Callable[[FeaturePlan], Feature]
    fingerprint: Callable[[Corpus], str]  #: of recordings, segments and labels
    vectors: Callable[[Corpus, Feature, Band, Progress], Vectors]  #: -> (segments, layers, values)
    frames: Callable[[Corpus, Framewise, Band, Rows], Sequence[NDArray[np.floating]]]  #: (layers, frames, values) a row


@dataclass(frozen=True, slots=True)
class Data:
    """A corpus under a scheme, split."""

    name: str
    harmonised: Harmonised = field(repr=False)
    folds: Folds = field(repr=False)
    fingerprint: str  #: of recordings, segments and classes


@dataclass(frozen=True, slots=True)
class Job:
    """One fold of one system."""

    system: System
    fold: str
    train: Data
    test: Data
    train_rows: Rows = field(repr=False)
    test_rows: Rows = field(repr=False)
    heads: tuple[str, ...]  #: that both data sets have, with the same classes

    def basis(self, plan: Plan, feature: Feature | None) -> str:
        """Of all that the job's decisions follow from."""
        return hashed(
            {
                "data": [self.train.fingerprint, self.test.fingerprint],
                "rows": [sha256(rows.tobytes()).hexdigest() for rows in (self.train_rows, self.test_rows)],
                "heads": self.heads,
                "feature": feature and [feature.name, feature.version],
                "system": [self.system.band, self.system.kind, KINDS[self.system.kind].version],
                "seed": plan.seed,
            }
        )


@dataclass(frozen=True, slots=True)
class Done:
    """An experiment that has been run; `held` are the folds of each system."""

    plan: Plan
    data: dict[str, Data]
    held: dict[System, list[tuple[Job, Held]]] = field(repr=False)
    versions: dict[str, str]  #: feature -> its version
    seconds: float  #: of wall time, over all runs that it took


def run(plan: Plan, sources: Sources, folder: Path, progress: Progress = quiet, *, device: str = "cpu") -> Done:
    """Run what is not done yet. TrainingError, FeatureError: what was done before is kept."""
    reading = progress("reading", len(plan.data))
    data = {}
    for each in plan.data:
        data[each.called] = load(plan, each, sources)
        reading()
    features = {name: sources.feature(described) for name, described in plan.described.items()}
    store, times = Store(folder), Times(folder)
    every = [(job, job.basis(plan, features.get(job.system.feature))) for job in jobs(plan, data, features)]
    left = [(job, basis) for job, basis in every if not store.has(job.system, job.fold, basis)]
    tick = progress(f"folds; {len(every) - len(left)} of {len(every)} were done before", len(left)) if left else None
    heard = _Heard(sources, times, progress)
    for job, basis in left:
        scratch = folder / "scratch" / basis[:16]
        task = heard.task(plan, job, features.get(job.system.feature))
        held = _judged(job, replace(task, scratch=scratch, device=device, progress=progress), times)
        store.save(job.system, job.fold, basis, held)
        shutil.rmtree(scratch, ignore_errors=True)
        if tick:
            tick()
    kept: dict[System, list[tuple[Job, Held]]] = {}
    for job, basis in every:
        kept.setdefault(job.system, []).append((job, store.load(job.system, job.fold, basis)))
    return Done(plan, data, kept, {name: feature.version for name, feature in features.items()}, times.total())


def load(plan: Plan, of: DataPlan, sources: Sources) -> Data:
    """A data set, split. CorpusError, SchemeError."""
    harmonised = harmonise(sources.corpus(of.corpus), sources.scheme(of.scheme))
    segments = harmonised.corpus.segments
    folds = split(harmonised, of.folds or usual(segments), folds=plan.number_of_folds, seed=plan.seed)
    return Data(of.called, harmonised, folds, _fingerprint(harmonised, sources))


def _fingerprint(seen: Harmonised, sources: Sources) -> str:
    targets = {head: classes.tolist() for head, classes in seen.targets.items()}
    order = [segment.id for segment in seen.corpus.segments]
    content = sources.fingerprint(seen.corpus)
    return hashed({"content": content, "order": order, "heads": seen.scheme.heads(), "targets": targets})


def jobs(plan: Plan, data: Mapping[str, Data], features: Mapping[str, Feature]) -> Iterator[Job]:
    """Every fold of every system, those that share a feature's vectors together.

    PlanError where a kind of head pools frames by itself and no feature has any; SchemeError where two data sets that
    are to judge each other have a recording, or no head, in common.
    """
    pairs = [(data[each.called], data[each.called]) for each in plan.data]
    across = [(data[pair.train], data[pair.test]) for pair in plan.across]
    for train, test in across:
        _check_apart(train, test)
    pairs += across
    described = [(NO_FEATURE, NO_BAND, [kind for kind in plan.heads if not KINDS[kind].hears])]
    described += [(name, str(band), _hearing(plan, features[name])) for name in features for band in plan.bands]
    judging = {kind for _, _, kinds in described for kind in kinds}
    if idle := [kind for kind in plan.heads if kind not in judging]:
        raise PlanError(f"{plan.name}: heads {', '.join(idle)} pool frames, and no feature here has any; add wav2vec2")
    for feature, band, kinds in described:
        for train, test in pairs:
            for kind in kinds:
                yield from _folds(System(train.name, test.name, band, feature, kind), train, test)


def _hearing(plan: Plan, feature: Feature) -> list[str]:
    """The kinds of heads that can judge a feature: networks pool the frames of those that have frames."""
    return [kind for kind in plan.heads if KINDS[kind].hears and (KINDS[kind].pooled or has_frames(feature))]


def _folds(system: System, train: Data, test: Data) -> Iterator[Job]:
    heads = shared_heads(train, test)
    if train is not test:
        every = [np.arange(len(each.harmonised.corpus.segments)) for each in (train, test)]
        yield Job(system, ALL, train, test, every[0], every[1], heads)
        return
    for at, name in enumerate(train.folds.names):
        yield Job(system, name, train, test, train.folds.train(at), test.folds.test(at), heads)


def shared_heads(train: Data, test: Data) -> tuple[str, ...]:
    """The heads that mean the same in both. SchemeError where there is none."""
    ours, theirs = (data.harmonised.scheme.heads() for data in (train, test))
    shared = tuple(head for head, classes in ours.items() if theirs.get(head) == classes)
    if not shared:
        raise SchemeError(
            f"{train.name} and {test.name} have no head of the same classes; give both a scheme whose classes both have"
        )
    return shared


def _check_apart(train: Data, test: Data) -> None:
    """Refuse to judge machines on what they learnt."""
    ours, theirs = (_recordings(data.harmonised.corpus) for data in (train, test))
    if shared := sorted(ours & theirs):
        raise SchemeError(
            f"{train.name} and {test.name} share recordings ({len(shared)}, such as {shared[0]}); folds judge a corpus"
            " on itself, `across` takes two that are apart"
        )


def _recordings(corpus: Corpus) -> set[Path]:
    return {(corpus.recordings / segment.recording).resolve() for segment in corpus.segments}


def _judged(job: Job, task: Task, times: Times) -> Held:
    """Learn and judge one fold."""
    started = time.monotonic()
    judged = KINDS[job.system.kind].judge(task)
    seconds = time.monotonic() - started
    times.add(f"{job.system.name} {job.system.band} {job.system.test} {job.fold}", seconds)
    decisions = {head: judged.decisions[head] for head in job.heads}
    shares = {head: rows for head, rows in judged.probabilities.items() if head in job.heads}
    return Held(job.test_rows, decisions, judged.layers, seconds, shares)


class _Heard:
    """Vectors of the last feature and band that were asked for: jobs come in that order."""

    def __init__(self, sources: Sources, times: Times, progress: Progress) -> None:
        self._sources, self._times, self._progress = sources, times, progress
        self._kept: dict[tuple[str, str, str], Vectors] = {}

    def task(self, plan: Plan, job: Job, feature: Feature | None) -> Task:
        """What a job's kind is asked to do."""
        return Task(
            scheme=job.train.harmonised.scheme,
            train=self._side(job, job.train, job.train_rows, feature),
            test=self._side(job, job.test, job.test_rows, feature),
            seed=plan.seed,
        )

    def _side(self, job: Job, data: Data, rows: Rows, feature: Feature | None) -> Side:
        corpus, kind = data.harmonised.corpus, KINDS[job.system.kind]
        targets = {head: classes[rows] for head, classes in data.harmonised.targets.items()}
        if feature is None:
            return Side(corpus, rows, targets)
        band = Band(job.system.band)
        if kind.pooled or not has_frames(feature):
            return Side(corpus, rows, targets, vectors=self._vectors(job.system, data, feature))
        return Side(corpus, rows, targets, frames=lambda some: self._sources.frames(corpus, feature, band, rows[some]))

    def _vectors(self, system: System, data: Data, feature: Feature) -> Vectors:
        key = (data.name, system.feature, system.band)
        if key not in self._kept:
            self._kept = {kept: vectors for kept, vectors in self._kept.items() if kept[1:] == key[1:]}
            started, corpus = time.monotonic(), data.harmonised.corpus
            self._kept[key] = self._sources.vectors(corpus, feature, Band(system.band), self._progress)
            self._times.add(f"vectors of {' '.join(key)}", time.monotonic() - started)
        return self._kept[key]
