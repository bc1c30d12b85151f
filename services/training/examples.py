"""A corpus as machines are fitted on it: what a bundle would make of each of its segments, and the class of each."""

from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from services.emotion.abstention import Band, Limits, unfit
from services.emotion.features.feature import Feature
from services.training.audio import TELEPHONE_RATE, fingerprint, heard
from services.training.cache import Heard, Progress, vectors
from services.training.copies import Copies
from services.training.corpora.corpus import Corpus, Segment
from services.training.corpora.folder import read_corpus
from services.training.errors import CorpusError, SchemeError, TrainingError
from services.training.evaluate import Groups
from services.training.harmonise import NONE, Harmonised, harmonise
from services.training.machines import Targets
from services.training.probe import layer_scores
from services.training.store import Rows
from streams.domain.schemes import Scheme
from streams.domain.unlabelled import Unlabelled

MIN_GROUPS = 3
SEED = 20261127


@dataclass(frozen=True, slots=True)
class Hearing:
    """How segments are heard and described: as the bundle will hear and describe what it judges."""

    feature: Feature
    band: Band
    limits: Limits
    copies: Copies = Copies.NONE  #: that are learnt beside each segment, and never judged

    @property
    def rate(self) -> int:
        """Hz of the windows that the bundle will take."""
        return TELEPHONE_RATE if self.band is Band.TELEPHONE else self.feature.rate


@dataclass(frozen=True, slots=True)
class Examples:
    """Segments that the bundle would judge, each with a class under one head at least."""

    segments: tuple[Segment, ...]
    layers: Rows = field(repr=False)  #: (windows, layers, values), on disk
    wanted: Targets = field(repr=False)
    skipped: Counter[str]  #: reason -> segments that the bundle would not judge, or that have no class
    copies: tuple[Rows, ...] = field(default=(), repr=False)  #: as `layers`: a training copy of each window

    @property
    def grouped(self) -> Literal["conversation", "speaker"]:
        """What is never in two folds: conversations, where there are any beside the speakers."""
        own = all(segment.conversation in {"", segment.speaker} for segment in self.segments)
        return "speaker" if own else "conversation"

    @property
    def groups(self) -> Groups:
        """(windows,) the conversation of each, else its speaker."""
        return np.array([segment.conversation or segment.speaker for segment in self.segments])


def chosen(folder: Path, scheme: Scheme, left_out: tuple[str, ...]) -> Harmonised:
    """The corpus without these speakers, as the scheme sees it. TrainingError where they do not fit each other.

    A class that is too rare is not left out in silence: the bundle would not be of the use case's scheme any more.
    """
    corpus = read_corpus(folder)
    unknown = set(left_out) - {segment.speaker for segment in corpus.segments}
    if unknown:
        raise CorpusError(f"{folder}: no speaker {', '.join(sorted(unknown))} to leave out")
    found = harmonise(_without(corpus, left_out), scheme)
    for head, classes in scheme.heads().items():
        if rare := sorted(set(classes) - set(found.scheme.heads().get(head, ()))):
            raise SchemeError(
                f"{folder}: too few segments of {', '.join(rare)} ({head}): take the class out of scheme {scheme.name},"
                " give a smaller `least`, or annotate more"
            )
    return found


def _without(corpus: Corpus, left_out: tuple[str, ...]) -> Corpus:
    segments = tuple(segment for segment in corpus.segments if segment.speaker not in left_out)
    ids = {segment.id for segment in segments}
    annotations, verdicts = (
        tuple(each for each in said if each.segment in ids) for said in (corpus.annotations, corpus.verdicts)
    )
    return replace(corpus, segments=segments, annotations=annotations, verdicts=verdicts)


def examples(harmonised: Harmonised, hearing: Hearing, cache: Path, progress: Progress) -> Examples:
    """Hear and describe every segment that has a class; vectors that are in the cache are not computed again.

    CorpusError where too few groups are left, or a segment's vector is no numbers.
    """
    corpus, skipped = harmonised.corpus, Counter[str]()
    classed = np.any([classes != NONE for classes in harmonised.targets.values()], axis=0)
    if unclassed := int((~classed).sum()):
        skipped["without a class"] = unclassed
    places = list[int]()
    tick = progress("hearing", int(classed.sum()))
    for place in map(int, np.flatnonzero(classed)):
        reason = _unfit(corpus, corpus.segments[place], hearing)
        if reason is None:
            places.append(place)
        else:
            skipped[str(reason)] += 1
        tick()
    wanted = {head: classes[places] for head, classes in harmonised.targets.items()}
    segments = tuple(corpus.segments[place] for place in places)
    if len({segment.conversation or segment.speaker for segment in segments}) < MIN_GROUPS:
        raise CorpusError(f"{corpus.name}: {MIN_GROUPS} speakers or more are needed to judge by unheard voices")
    layers, *copies = (
        vectors(cache, hearing.feature, Heard(corpus.recordings, segments, hearing.band, copy), progress)
        for copy in ("", *hearing.copies.kinds)
    )
    return Examples(segments, layers, wanted, skipped, tuple(copies))


def _unfit(corpus: Corpus, segment: Segment, hearing: Hearing) -> Unlabelled | None:
    window = heard(corpus.recordings, segment, hearing.rate, hearing.band)
    return unfit(window, hearing.rate, hearing.limits, hearing.band)


def layer_of(found: Examples, wanted: int | None, known: NDArray[np.bool_] | None = None) -> int:
    """The hidden layer that is asked for, else the one that a linear probe finds best.

    `known`, (windows,), are those that the probe may learn from and be judged on; all of them where it is None.

    TrainingError where the feature has no such layer.
    """
    layers = found.layers.shape[1]
    if wanted is not None and not 0 <= wanted < layers:
        raise TrainingError(f"--layer {wanted}: the feature has {layers} layer(s), counted from 0")
    if wanted is not None or layers == 1:
        return wanted or 0
    some = np.arange(len(found.segments)) if known is None else np.flatnonzero(known)
    _, groups = np.unique(found.groups[some], return_inverse=True)
    targets = {head: classes[some] for head, classes in found.wanted.items()}
    scores = layer_scores(lambda at: found.layers[some, at], layers, targets, groups, SEED)
    return int(scores.argmax())


def versions(found: Examples, layer: int) -> NDArray[np.float32]:
    """(windows, 1 + copies, values): each window and its training copies, of one hidden layer."""
    return np.stack([rows[:, layer] for rows in (found.layers, *found.copies)], axis=1).astype(np.float32)


def data_hash(corpus: Corpus, found: Examples) -> str:
    """sha256 over every segment, its classes and its recording's bytes, whatever their order."""
    contents = {name: fingerprint(corpus.recordings / name) for name in {each.recording for each in found.segments}}
    classes: NDArray[np.int64] = np.stack(list(found.wanted.values()), axis=1)
    lines = sorted(
        "\t".join(
            map(str, (contents[at.recording], at.channel, at.start_ms, at.end_ms, at.speaker, at.conversation, *row))
        )
        for at, row in zip(found.segments, classes.tolist(), strict=True)
    )
    return sha256("\n".join(lines).encode()).hexdigest()
