"""The model card that lies beside a bundle."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill

from services.emotion.abstention import Band
from services.emotion.bundle import Bundle
from services.emotion.features.registry import FEATURES
from services.emotion.manifest import Manifest, Score
from services.emotion.publish import write_whole
from services.training.calibrate import ENOUGH
from services.training.copies import NOISE_DB, SPEEDS, TILT_DB
from services.training.evaluate import FOLDS, NETWORK_FOLDS

CARD = "CARD.md"
MEASURES = ("uar", "macro_f1", "ece", "ece_if_perfect")

_OPENING = """\
Acted, {speakers} speakers, single sentences. Valence and arousal are a table of the category, so agreement
between heads confirms nothing. No class means 'very negative'. This bundle shows the wiring and **must not
score real customers**; the inference service refuses it unless a setting names it.
"""

_MACHINES = """\
One-vs-rest RBF support vector machines (C = 1, gamma = 1 / {values}, balanced classes) on {values} {feature} of a
window at {rate} Hz. No value counts further than 3 standard deviations from the mean. {band} The class is that of the
largest decision value. Probabilities are Platt's sigmoid a class, fitted on decision values of {grouped}s that were
left out, brought to a sum of 1; where they hold another class for likelier than the decision does, the two share what
they have between them.{uncalibrated}"""

_NETWORKS = """\
{network}, one a head, on the frames of all {layers} hidden layers, {values} {feature} of a window at {rate} Hz: a
learnt weighted sum of the layers, 256 channels, {pooling}, one linear layer. The encoder is frozen. Each epoch draws as
many windows of every class as the rarest has, and a fifth of the windows says when to stop. {band} The class is that of
the largest decision value. Probabilities are Platt's sigmoid a class, fitted on decision values of {grouped}s that were
left out, brought to a sum of 1; where they hold another class for likelier than the decision does, the two share what
they have between them.{uncalibrated}"""

_NETWORK = {
    "svm": ("", ""),
    "dnn-sp": ("DNN-SP networks", "mean and standard deviation over the frames"),
    "dnn-attcp": ("DNN-AttCP networks", "attentive correlations between the channels"),
}

_USE = """\
## What it is

{what}

It abstains under {min_ms} ms and over {max_ms} ms, on silence, heavy clipping and where no voiced speech is
found. A window is out of domain where its fifth nearest training window is more than {limit:.1f} away (Euclidean, in
standard deviations of each {value}), as 1 % of the training windows are from those of other {grouped}s: then the bundle
abstains too, or what it says is marked where the use case asks for that.

## What it was trained on

{windows} segments of {speakers} speakers from `{corpus}` ({labels}){left_out}{skipped}. {segmented}{copies}

**The bundle holds {held}: they can tell
that a voice was among them. Keep it as you keep the recordings. It knows its {grouped}s by a mark each, so that
`undertone erase` can name it when one of its calls is erased: train it again then.

Fingerprint of the data `{fingerprint}`, of the window rule `{window_rule}`, of the bundle `{sha256}`.

Made with {made_with}.
"""

_FUNCTIONALS = """\
weight-free functionals (`{name}`): log-mel, cepstrum, spectral shape, loudness, periodicity and pitch, their
statistics, modulation and rhythm, none of which depends on the recording's gain,"""

_BANDS = {
    Band.TELEPHONE: "Recordings were brought to a telephone's band first (8 kHz, G.711 mu-law and back).",
    Band.WIDE: "Recordings were left as wide as they are; a window from a telephone is abstained from (`bandwidth`).",
}

_SEGMENTED = {
    "by the corpus": "The corpus cut them; the live stream cuts windows of 2.5 to 20 s.",
    "by the window rule": "The live stream's own rule cut them.",
}

_HELD = "the features of every window that it was trained on**, most of them as support vectors"
_HELD_MEAN = "the mean frame of every window that it was trained on**, by which it tells how far another is from them"

_PROBED = """\
 Where nobody named the layer a linear probe chose it on these very windows, and the figures above are a little too
good."""

_UNHEARD = {
    "machines": "that the machines, the scaler and the calibration never heard.",
    "networks": """\
that the networks never heard. Their probabilities are by the decisions on the other parts, of networks that did hear
these {grouped}s: the calibration error may be a little too good.""",
}

_COPIES = """\
 The machines also learnt from copies of each segment ({kinds}): as another line would pass it on, tilted by up
to {tilt:g} dB an octave with noise {noise[0]:g} to {noise[1]:g} dB under the voice, or at {speeds} times the speed.
Nothing was judged by copies or calibrated on them, and no window is compared with them for its distance."""

_SCORES = """\
## How well it does

Leaving one {grouped} out{parts}: every figure is of {grouped}s {unheard} In brackets the 95 % interval,
{grouped}s resampled 2,000 times; with few of them it is wide. The calibration error (of the class said, ten bins of
equal mass) is never 0 on so many windows: beside it stands
what a model would show that is right exactly as often as it says.

| head | classes | chance | UAR | macro-F1 | calibration error | if it were perfect |
| --- | --- | --- | --- | --- | --- | --- |
"""

_TRUST = """
## How far to trust the scores

About 290 configurations were scored on these speakers while `functionals-2` was designed, eighteen before it for
`functionals-1`; five utterances of one class are two points, and what means nothing moved category.full from 83 to
88 % UAR (`ops/experiments/LOG.md`). Which values and which copies to learn from was chosen for each speaker without
that speaker, but among what was left of those configurations: expect a point or two less.
"""

_EMODB = """
## Source and licence

Berlin Database of Emotional Speech (EmoDB): F. Burkhardt, A. Paeschke, M. Rolfes, W. Sendlmeier, B. Weiss, *A
Database of German Emotional Speech*, Interspeech 2005. CC0-1.0 by the audEERING dataset card v1.4.1, CC BY 4.0
by the Zenodo record emodb_2.0; either allows derived models. No recording is part of the bundle.
"""


def write_card(
    folder: Path, bundle: Bundle, labels: Mapping[str, int], skipped: Mapping[str, int], source: str = ""
) -> None:
    """Write `CARD.md` into the bundle's folder. `source` says where the corpus is from, and under what licence."""
    manifest = bundle.manifest
    speakers = manifest.training.speakers
    opening = _OPENING.format(speakers="ten" if speakers == 10 else speakers) if manifest.limits.demo_only else ""
    emodb = manifest.training.corpus.startswith("emodb")
    told = f"\n## Source and licence\n\n{source}\n" if source else ""
    parts = [
        f"# Bundle `{manifest.name}`\n\n",
        opening,
        "\n",
        _scores(bundle) if manifest.scores else "Nobody has scored this bundle.\n",
        "\n",
        _use(bundle, labels, skipped),
        _TRUST if emodb and not manifest.feature.models else "",
        _EMODB if emodb else told,
    ]
    write_whole(folder / CARD, _wrapped("".join(parts)).encode())


def _wrapped(text: str) -> str:
    """The same with its paragraphs broken anew; tables and headings stay as they are."""
    return "\n\n".join(part if part.startswith(("|", "#")) else fill(part, 110) for part in text.split("\n\n")) + "\n"


def _scores(bundle: Bundle) -> str:
    rows = []
    for head, classes in bundle.manifest.scheme.heads.items():
        figures = bundle.manifest.scores[head]
        cells = " | ".join(_percent(figures.get(measure)) for measure in MEASURES)
        rows.append(f"| {head} | {', '.join(classes)} | {100 / len(classes):.1f} | {cells} |\n")
    training, head = bundle.manifest.training, bundle.manifest.head
    most = FOLDS if head == "svm" else NETWORK_FOLDS
    parts = f", in {most} parts" if len(training.conversations) > most else ""
    unheard = _UNHEARD["machines" if head == "svm" else "networks"].format(grouped=training.grouped)
    return _SCORES.format(grouped=training.grouped, parts=parts, unheard=unheard) + "".join(rows)


def _percent(score: Score | None) -> str:
    if score is None:
        return "no probabilities"
    return f"{100 * score.value:.1f} [{100 * score.low:.1f}, {100 * score.high:.1f}]"


def _use(bundle: Bundle, labels: Mapping[str, int], skipped: Mapping[str, int]) -> str:
    manifest, training = bundle.manifest, bundle.manifest.training
    machines = manifest.head == "svm"
    return _USE.format(
        what=_what(bundle),
        value="value" if machines else f"value of the mean frame in layer {manifest.feature.layer}",
        grouped=training.grouped,
        min_ms=manifest.limits.min_ms,
        max_ms=manifest.limits.max_ms,
        limit=manifest.distance.limit,
        windows=training.windows,
        speakers=training.speakers,
        corpus=training.corpus,
        labels=_counts(labels),
        left_out=f"; left out: speakers {', '.join(training.left_out)}" if training.left_out else "",
        segmented=_SEGMENTED[training.segmented] + _PROBED * (machines and bool(manifest.feature.models)),
        copies=_copied(training.copies) if training.copies else "",
        skipped=f"; not used: {_counts(skipped)}" if skipped else "",
        held=_HELD if machines else _HELD_MEAN,
        fingerprint=training.fingerprint,
        window_rule=manifest.window_rule,
        sha256=bundle.sha256,
        made_with=", ".join(f"{name} {version}" for name, version in manifest.made_with.items()),
    )


def _what(bundle: Bundle) -> str:
    manifest = bundle.manifest
    network, pooling = _NETWORK[manifest.head]
    return (_MACHINES if manifest.head == "svm" else _NETWORKS).format(
        network=network,
        pooling=pooling,
        layers=bundle.feature.layers,
        values=bundle.feature.values,
        feature=_feature(manifest),
        rate=manifest.rate,
        band=_BANDS[manifest.band],
        grouped=manifest.training.grouped,
        uncalibrated=_uncalibrated(manifest.uncalibrated),
    )


def _feature(manifest: Manifest) -> str:
    described = manifest.feature
    if described.name.startswith("functionals"):
        return _FUNCTIONALS.format(name=described.name)
    models = " and ".join(
        f"`{each.source}`" + f" at `{each.revision}`" * bool(each.revision) for each in described.models
    )
    layer = f"layer {described.layer} of " if manifest.head == "svm" else ""
    source = f", {layer}{models}, version `{described.version}`," if models else ""
    terms = f" ({FEATURES[described.name].licence})" if FEATURES[described.name].licence else ""
    return f"values of `{described.name}`{terms}{source}"


def _copied(kinds: Sequence[str]) -> str:
    speeds = " or ".join(map(str, SPEEDS.values()))
    return _COPIES.format(kinds=", ".join(kinds), tilt=TILT_DB, noise=NOISE_DB, speeds=speeds)


def _uncalibrated(heads: Sequence[str]) -> str:
    if not heads:
        return ""
    return f" A class had under {ENOUGH} windows under {', '.join(heads)}: the class said is all that is told there."


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
