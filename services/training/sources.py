"""Corpora, features and their vectors as they lie on a disk, for an experiment."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.emotion.abstention import Band
from services.emotion.features.feature import Feature, Framewise
from services.emotion.features.registry import open_feature
from services.emotion.features.sources import Model
from services.training.audio import heard, place
from services.training.cache import Heard, vectors
from services.training.corpora.corpus import Corpus
from services.training.corpora.folder import fingerprint, read_corpus
from services.training.errors import CorpusError
from services.training.experiment import Sources
from services.training.kinds import Progress
from services.training.plan import FeaturePlan, ModelPlan
from streams.domain.schemes import BUILT_IN
from streams.usecases import scheme_named

Rows = NDArray[np.int64]


def on_disk(root: Path, cache: Path, device: str = "cpu") -> Sources:
    """Corpora, schemes and models below `root`; vectors are kept in `cache`, hidden layers as halves."""

    def kept(corpus: Corpus, feature: Feature, band: Band, progress: Progress) -> NDArray[np.floating]:
        windows = Heard(corpus.recordings, corpus.segments, band)
        return vectors(cache, feature, windows, progress, half=feature.layers > 1)

    def opened(plan: FeaturePlan) -> Feature:
        return open_feature(plan.name, [_model(root, each) for each in plan.models], device, plan.language)

    return Sources(
        corpus=lambda name: read_corpus(root / name),
        scheme=lambda name: scheme_named(name if name in BUILT_IN else str(root / name)),
        feature=opened,
        fingerprint=fingerprint,
        vectors=kept,
        frames=_frames,
    )


def _model(root: Path, plan: ModelPlan) -> Model:
    source = plan.source if plan.revision else str(root / plan.source)
    return Model(source, plan.revision, plan.sha256)


def _frames(corpus: Corpus, feature: Framewise, band: Band, rows: Rows) -> Sequence[NDArray[np.floating]]:
    """(layers, frames, values) of each row. CorpusError with a line for each segment whose frames are no numbers."""
    segments = [corpus.segments[at] for at in rows]
    found = feature.frames([heard(corpus.recordings, each, feature.rate, band) for each in segments])
    wrong = [segment for segment, frames in zip(segments, found, strict=True) if not np.isfinite(frames).all()]
    if wrong:
        lines = (f"{place(corpus.recordings, at)}: {feature.name} gives frames that are no numbers" for at in wrong)
        raise CorpusError("\n".join(lines))
    return found
