"""From a labelled corpus to a bundle with its card: evaluate on unheard groups, then fit on everything."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import sklearn
from numpy.typing import NDArray

from services.emotion import manifest as manifests
from services.emotion.abstention import Band, Limits, Reference, placed, refer
from services.emotion.bundle import Bundle, save_bundle
from services.emotion.calibration import Calibration
from services.emotion.features.feature import Feature, Framewise, has_frames
from services.emotion.features.functionals2 import Functionals2
from services.emotion.features.registry import open_feature
from services.emotion.features.sources import Model
from services.emotion.heads import Heads, rounded
from services.emotion.manifest import Described, Distance, Head, Manifest, Score, Training, conversation_mark
from services.training.cache import Heard, Progress
from services.training.card import write_card
from services.training.copies import Copies
from services.training.corpora.corpus import Corpus
from services.training.errors import TrainingError
from services.training.evaluate import Groups, HeldOut, calibrated, fit_calibrated, folds, scored
from services.training.examples import Examples, Hearing, chosen, data_hash, examples, layer_of, versions
from services.training.harmonise import NONE
from services.training.machines import scaler
from streams.domain.schemes import EMODB, Scheme
from streams.domain.windows import MAX_WINDOW_MS

if TYPE_CHECKING:
    from services.emotion.networks import Networks  # needs PyTorch

#: What judges, how likely what it says is, and what is said of groups that were left out.
Fitted = tuple["Heads | Networks", Calibration, HeldOut | None]

MIN_MS = 1_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What to train, and on whom."""

    corpus: Path
    out: Path
    name: str = "demo"
    scheme: Scheme = EMODB
    feature: str = Functionals2.name
    models: tuple[Model, ...] = ()  #: that the feature needs
    layer: int | None = None  #: of the feature; None: what a linear probe chooses
    head: Head = "svm"  #: networks hear every layer; `layer` then only tells how far a window is from what they know
    device: str = "cpu"
    band: Band = Band.TELEPHONE
    left_out: tuple[str, ...] = ()  #: speakers kept out of everything
    copies: Copies = Copies.NONE  #: of each window, learnt beside it by machines
    scored: bool = True  #: on unheard groups, which takes machines nine tenths of the time
    cache: Path | None = None  #: folder of vectors, and of networks that learn: a stopped run goes on there; None: none

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
    hearing = Hearing(_opened(plan), plan.band, plan.limits, plan.copies)
    manifests.check_rate(hearing.rate, f"--band {plan.band} of feature {plan.feature}: the rate")
    harmonised = chosen(plan.corpus, plan.scheme, plan.left_out)
    found = examples(harmonised, hearing, cache, progress)
    layer, fingerprint = layer_of(found, plan.layer), data_hash(harmonised.corpus, found)
    vectors, groups = versions(found, layer), found.groups
    scratch = cache / "networks" / _basis(plan, hearing, fingerprint)
    if plan.head == "svm":
        heads, sigmoids, judged = _machines(plan, found, vectors, progress)
    else:
        windows = Heard(harmonised.corpus.recordings, found.segments, hearing.band)
        heads, sigmoids, judged = _networks(
            plan, found, vectors[:, 0], feature=hearing.feature, windows=windows, scratch=scratch, progress=progress
        )
    described = Described(hearing.feature.name, hearing.feature.version, layer, plan.models)
    scores = scored(judged, found.wanted, groups, progress("intervals", len(found.wanted))) if judged else {}
    training = _training(plan, harmonised.corpus, found, fingerprint)
    manifest = _manifest(plan, hearing, described, training, calibration=sigmoids, scores=scores)
    made = save_bundle(plan.out, manifest, heads, _reference(heads, vectors[:, 0], groups), device=plan.device)
    write_card(plan.out, made, _counts(found, plan.scheme), found.skipped, harmonised.corpus.source)
    shutil.rmtree(scratch, ignore_errors=True)
    return made


def _opened(plan: Plan) -> Feature:
    feature = open_feature(plan.feature, plan.models, plan.device)
    if plan.head != "svm" and not has_frames(feature):
        raise TrainingError(f"--head {plan.head}: feature {plan.feature} gives no frames; choose wav2vec2 or wavlm")
    if plan.head != "svm" and plan.copies.kinds:
        raise TrainingError(f"--copies {plan.copies}: networks learn from windows as they are; leave it out")
    return feature


def _machines(plan: Plan, found: Examples, vectors: NDArray[np.float32], progress: Progress) -> Fitted:
    judged = None
    if plan.scored:
        judged = _judged(plan, found, progress(f"leaving one {found.grouped} out", _fits(found.groups)))
    tick = progress("fitting", len(list(folds(found.groups))))
    heads, sigmoids = fit_calibrated(plan.scheme, vectors, found.wanted, found.groups, tick)
    return heads, sigmoids, judged


def _networks(
    plan: Plan,
    found: Examples,
    vectors: NDArray[np.float32],
    *,
    feature: Feature,
    windows: Heard,
    scratch: Path,
    progress: Progress,
) -> Fitted:
    # They need PyTorch, machines do not.
    from services.emotion.networks import Networks  # noqa: PLC0415
    from services.training import learner, neural  # noqa: PLC0415

    lesson = neural.Lesson(
        recipe=learner.Recipe("sp" if plan.head == "dnn-sp" else "attcp"),
        classes=plan.scheme.heads(),
        frames=neural.frames_of(cast("Framewise", feature), windows),
        wanted=found.wanted,
        groups=found.groups,
        folder=scratch,
        device=plan.device,
        progress=progress,
    )
    trained, sigmoids, judged = neural.fit(lesson)
    return Networks(trained, *scaler(vectors)), sigmoids, judged


def _basis(plan: Plan, hearing: Hearing, fingerprint: str) -> str:
    """Of all that networks follow from: by it their checkpoints are found again, and by no other run."""
    feature = hearing.feature
    known = (plan.head, plan.scheme.heads(), feature.name, feature.version, str(hearing.band), fingerprint)
    return sha256(repr(known).encode()).hexdigest()[:16]


def _judged(plan: Plan, found: Examples, tick: Callable[[], None]) -> HeldOut:
    """What is said of unheard groups; the hidden layer too is chosen without them."""

    def described(known: NDArray[np.bool_]) -> NDArray[np.float32]:
        return versions(found, layer_of(found, plan.layer, known))

    return calibrated(plan.scheme, described, found.wanted, found.groups, tick)


def _fits(groups: Groups) -> int:
    """How many folds are fitted inside the training parts of all folds."""
    return sum(len(list(folds(groups[~test]))) for test in folds(groups))


def _reference(heads: "Heads | Networks", vectors: NDArray[np.float32], groups: Groups) -> Reference:
    _, numbers = np.unique(groups, return_inverse=True)
    return refer(rounded(placed(vectors, heads.mean, heads.scale)), numbers.astype(np.int32))


def _counts(found: Examples, scheme: Scheme) -> Counter[str]:
    """Windows of each class under the first head."""
    head, names = next(iter(scheme.heads().items()))
    return Counter(names[at] for at in found.wanted[head] if at != NONE)


def _training(plan: Plan, corpus: Corpus, found: Examples, fingerprint: str) -> Training:
    return Training(
        corpus=corpus.name,
        fingerprint=fingerprint,
        windows=len(found.segments),
        speakers=len({segment.speaker for segment in found.segments}),
        conversations=tuple(conversation_mark(str(name)) for name in np.unique(found.groups)),
        grouped=found.grouped,
        left_out=tuple(sorted(plan.left_out)),
        segmented=corpus.cut.value,
        copies=plan.copies.kinds,
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
    made_with = {"numpy": np.__version__, "scikit-learn": sklearn.__version__}
    if plan.head != "svm":
        made_with["torch"] = version("torch")
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
        made_with=made_with,
        weights_sha256="",
    )
