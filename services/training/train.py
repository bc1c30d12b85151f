"""From a labelled corpus to a bundle with its card: evaluate on unheard speakers, then fit on everything."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sklearn

from services.emotion import bundle as bundles
from services.emotion.bundle import Bundle, Limits, Manifest, Score, Training
from services.emotion.features.functionals import FEATURE, RATE
from services.emotion.model import describe
from services.training.card import write_card
from services.training.corpus import Recording, fingerprint, read_corpus, telephone
from services.training.errors import CorpusError
from services.training.evaluate import Speakers, Tick, calibrated, fit_calibrated, scored
from services.training.machines import Targets, Vectors, targets
from streams.domain.schemes import EMODB, Scheme
from streams.domain.windows import MAX_WINDOW_MS

#: announces (what, how many steps) and returns what to call after each step
Progress = Callable[[str, int], Tick]

MIN_SPEAKERS = 3
DEMO_LIMITS = Limits(min_ms=1_000, max_ms=MAX_WINDOW_MS, demo_only=True)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to train, and on whom."""

    corpus: Path
    out: Path
    name: str = "demo"
    scheme: Scheme = EMODB
    left_out: tuple[str, ...] = ()  #: speakers kept out of everything
    limits: Limits = DEMO_LIMITS


@dataclass(frozen=True, slots=True)
class Examples:
    """The corpus as the machines see it; `skipped` counts, by reason, windows that the bundle would not judge."""

    recordings: Sequence[Recording]
    vectors: Vectors
    wanted: Targets
    speakers: Speakers
    skipped: Counter[str]


def train(plan: Plan, progress: Progress = lambda _what, _steps: lambda: None) -> Bundle:
    """Evaluate, fit and write a bundle and its card into `plan.out`. TrainingError, BundleError: nothing is written."""
    bundles.check_name(plan.name, f"--name {plan.name!r}:")
    examples = _examples(plan, progress)
    speakers = len(np.unique(examples.speakers))
    data = (plan.scheme, examples.vectors, examples.wanted, examples.speakers)
    rows = calibrated(*data, progress("leaving one speaker out", speakers * (speakers - 1)))
    heads = fit_calibrated(*data, progress("fitting", speakers))
    scores = scored(rows, examples.wanted, examples.speakers)
    made = bundles.save_bundle(plan.out, _manifest(plan, examples, scores), heads)
    write_card(plan.out, made, Counter(item.label for item in examples.recordings), examples.skipped)
    return made


def _examples(plan: Plan, progress: Progress) -> Examples:
    recordings = _chosen(plan)
    tick = progress("features", len(recordings))
    kept: list[Recording] = []
    vectors, skipped = [], Counter[str]()
    for recording in recordings:
        reason, vector = describe(telephone(recording.path), plan.limits)
        if vector is None:
            skipped[str(reason)] += 1
        else:
            kept.append(recording)
            vectors.append(vector)
        tick()
    speakers = np.array([item.speaker for item in kept])
    if len(np.unique(speakers)) < MIN_SPEAKERS:
        raise CorpusError(f"{plan.corpus}: {MIN_SPEAKERS} speakers or more are needed to judge by unheard voices")
    return Examples(kept, np.stack(vectors), targets(plan.scheme, [item.label for item in kept]), speakers, skipped)


def _chosen(plan: Plan) -> list[Recording]:
    recordings = read_corpus(plan.corpus)
    unknown = set(plan.left_out) - {item.speaker for item in recordings}
    if unknown:
        raise CorpusError(f"{plan.corpus}: no speaker {', '.join(sorted(unknown))} to leave out")
    return [item for item in recordings if item.speaker not in plan.left_out]


def _manifest(plan: Plan, examples: Examples, scores: dict[str, dict[str, Score]]) -> Manifest:
    return Manifest(
        format=bundles.FORMAT,
        name=plan.name,
        scheme=bundles.Scheme(plan.scheme.name, plan.scheme.heads()),
        feature=FEATURE,
        rate=RATE,
        window_rule=bundles.window_rule(),
        training=Training(
            corpus=plan.corpus.name,
            fingerprint=fingerprint(plan.corpus, examples.recordings),
            windows=len(examples.recordings),
            speakers=tuple(sorted(set(examples.speakers.tolist()))),
            left_out=tuple(sorted(plan.left_out)),
        ),
        scores=scores,
        limits=plan.limits,
        made_with={"numpy": np.__version__, "scikit-learn": sklearn.__version__},
        weights_sha256="",
    )
