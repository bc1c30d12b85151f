"""From a labelled corpus to a bundle with its card: evaluate on unheard groups, then fit on everything."""

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sklearn
from numpy.typing import NDArray

from services.emotion import manifest as manifests
from services.emotion.abstention import Band, Limits, Reference, placed, refer
from services.emotion.bundle import Bundle, save_bundle
from services.emotion.calibration import Calibration
from services.emotion.features.functionals import FEATURE
from services.emotion.features.registry import open_feature
from services.emotion.features.sources import Model
from services.emotion.heads import Heads
from services.emotion.manifest import Described, Distance, Manifest, Score, Training, conversation_mark
from services.training.cache import Progress
from services.training.card import write_card
from services.training.corpora.corpus import Corpus
from services.training.errors import TrainingError
from services.training.evaluate import Groups, HeldOut, calibrated, fit_calibrated, folds, scored
from services.training.examples import Examples, Hearing, chosen, data_hash, examples, layer_of
from services.training.harmonise import NONE
from streams.domain.schemes import EMODB, Scheme
from streams.domain.windows import MAX_WINDOW_MS

MIN_MS = 1_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What to train, and on whom."""

    corpus: Path
    out: Path
    name: str = "demo"
    scheme: Scheme = EMODB
    feature: str = FEATURE
    models: tuple[Model, ...] = ()  #: that the feature needs
    layer: int | None = None  #: of the feature; None: what a linear probe chooses
    device: str = "cpu"
    band: Band = Band.TELEPHONE
    left_out: tuple[str, ...] = ()  #: speakers kept out of everything
    cache: Path | None = None  #: folder of vectors, so that a run that was stopped goes on; None: none are kept

    @property
    def limits(self) -> Limits:
        """EmoDB's scheme is a table of acted categories: whatever is trained on it is for demonstrations alone."""
        return Limits(MIN_MS, MAX_WINDOW_MS, demo_only=self.scheme.name == EMODB.name)


def train(plan: Plan, progress: Progress = lambda _what, _steps: lambda: None) -> Bundle:
    """Evaluate, fit and write a bundle and its card into `plan.out`.

    TrainingError, FeatureError, BundleError: nothing is written.
    """
    manifests.check_name(plan.name, f"--name {plan.name!r}:")
    if plan.out.exists() and not plan.out.is_dir():
        raise TrainingError(f"{plan.out}: is a file; name a folder for the bundle")
    with tempfile.TemporaryDirectory() as folder:
        return _train(plan, plan.cache or Path(folder), progress)


def _train(plan: Plan, cache: Path, progress: Progress) -> Bundle:
    hearing = Hearing(open_feature(plan.feature, plan.models, plan.device), plan.band, plan.limits)
    harmonised = chosen(plan.corpus, plan.scheme, plan.left_out)
    found = examples(harmonised, hearing, cache, progress)
    layer = layer_of(found, plan.layer)
    vectors, groups = _of_layer(found, layer), found.groups
    judged = _judged(plan, found, progress(f"leaving one {found.grouped} out", _fits(groups)))
    tick = progress("fitting", len(list(folds(groups))))
    heads, sigmoids = fit_calibrated(plan.scheme, vectors, found.wanted, groups, tick)
    described = Described(hearing.feature.name, hearing.feature.version, layer, plan.models)
    scores = scored(judged, found.wanted, groups, progress("intervals", len(found.wanted)))
    training = _training(plan, harmonised.corpus, found)
    manifest = _manifest(plan, hearing, described, training, calibration=sigmoids, scores=scores)
    made = save_bundle(plan.out, manifest, heads, _reference(heads, vectors, groups), device=plan.device)
    write_card(plan.out, made, _counts(found, plan.scheme), found.skipped, harmonised.corpus.source)
    return made


def _judged(plan: Plan, found: Examples, tick: Callable[[], None]) -> HeldOut:
    """What is said of unheard groups; the hidden layer too is chosen without them."""

    def described(known: NDArray[np.bool_]) -> NDArray[np.float32]:
        return _of_layer(found, layer_of(found, plan.layer, known))

    return calibrated(plan.scheme, described, found.wanted, found.groups, tick)


def _of_layer(found: Examples, layer: int) -> NDArray[np.float32]:
    """(windows, values) of one hidden layer."""
    return np.ascontiguousarray(found.layers[:, layer], np.float32)


def _fits(groups: Groups) -> int:
    """How many folds are fitted inside the training parts of all folds."""
    return sum(len(list(folds(groups[~test]))) for test in folds(groups))


def _reference(heads: Heads, vectors: NDArray[np.float32], groups: Groups) -> Reference:
    _, numbers = np.unique(groups, return_inverse=True)
    return refer(placed(vectors, heads.mean, heads.scale), numbers.astype(np.int32))


def _counts(found: Examples, scheme: Scheme) -> Counter[str]:
    """Windows of each class under the first head."""
    head, names = next(iter(scheme.heads().items()))
    return Counter(names[at] for at in found.wanted[head] if at != NONE)


def _training(plan: Plan, corpus: Corpus, found: Examples) -> Training:
    return Training(
        corpus=corpus.name,
        fingerprint=data_hash(corpus, found),
        windows=len(found.segments),
        speakers=len({segment.speaker for segment in found.segments}),
        conversations=tuple(conversation_mark(str(name)) for name in np.unique(found.groups)),
        grouped=found.grouped,
        left_out=tuple(sorted(plan.left_out)),
        segmented=corpus.cut.value,
    )


def _manifest(
    plan: Plan,
    hearing: Hearing,
    described: Described,
    training: Training,
    *,
    calibration: Calibration,
    scores: dict[str, dict[str, Score]],
) -> Manifest:
    return Manifest(
        format=manifests.FORMAT,
        name=plan.name,
        scheme=manifests.Scheme(plan.scheme.name, plan.scheme.heads()),
        feature=described,
        rate=hearing.rate,
        band=hearing.band,
        window_rule=manifests.window_rule(),
        training=training,
        calibration={head: tuple(each) for head, each in calibration.items()},
        distance=Distance(limit=0.0),
        scores=scores,
        limits=hearing.limits,
        made_with={"numpy": np.__version__, "scikit-learn": sklearn.__version__},
        weights_sha256="",
    )
