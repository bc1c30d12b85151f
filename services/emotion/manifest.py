"""What a bundle says of itself: `bundle.json`, format 3."""

import re
from hashlib import sha256
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import Literal

import msgspec

from services.emotion.abstention import NEIGHBOURS, PERCENTILE, Band, Limits
from services.emotion.calibration import Sigmoid
from services.emotion.features.sources import Model
from streams.domain import overlap, windows
from streams.speech.resample import RATES

FORMAT = 3
MANIFEST, WEIGHTS, NETWORKS = "bundle.json", "heads.safetensors", "networks.safetensors"
Kind = Literal["sp", "attcp"]  #: of networks: what they pool frames by
Head = Literal["svm", "dnn-sp", "dnn-attcp"]  #: what judges


class BundleError(Exception):
    """A bundle cannot be used; the message names the file and what is wrong with it."""


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the manifest: an unknown field is an error."""


class Scheme(_Part, frozen=True):
    """What the heads tell apart."""

    name: str
    heads: dict[str, tuple[str, ...]]  #: head -> classes, in the order of its outputs


class Described(_Part, frozen=True):
    """What describes a window."""

    name: str  #: in `features.registry`
    version: str  #: of the code and of the weights behind the values: their sha256
    layer: int = 0  #: which hidden layer
    models: tuple[Model, ...] = ()  #: whose weights those are, in the order that the feature asks for them


class Training(_Part, frozen=True):
    """What the machines were fitted on."""

    corpus: str
    fingerprint: str  #: sha256 over paths, labels, speakers and bytes of every recording
    windows: int
    speakers: int  #: how many: a call's is named by its pseudonym, which no bundle holds
    conversations: tuple[str, ...]  #: `conversation_mark` of each group of the reference, in the order of their numbers
    grouped: Literal["conversation", "speaker"]  #: what was never in two folds
    left_out: tuple[str, ...] = ()  #: speakers kept out of everything
    segmented: Literal["by the corpus", "by the window rule"] = "by the corpus"
    copies: tuple[str, ...] = ()  #: of each window, that were learnt beside it: `training.copies` says what they are


class Distance(_Part, frozen=True):
    """From where on a window is out of domain."""

    limit: float  #: standard deviations
    neighbours: int = NEIGHBOURS
    percentile: float = PERCENTILE


class Score(_Part, frozen=True):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class Networked(_Part, frozen=True):
    """What judges is networks, in a file of their own."""

    kind: Kind
    sha256: str  #: of `networks.safetensors`


class Manifest(_Part, frozen=True, omit_defaults=True):
    """`bundle.json`."""

    format: int
    name: str
    scheme: Scheme
    feature: Described
    rate: int  #: Hz of the windows that it takes
    band: Band
    window_rule: str  #: `window_rule()` of the code that trained it
    training: Training
    calibration: dict[str, tuple[Sigmoid, ...]]  #: head -> a sigmoid a class; no probabilities where a head is missing
    distance: Distance
    scores: dict[str, dict[str, Score]]  #: head -> measure -> figure, of groups that were left out
    limits: Limits
    made_with: dict[str, str]  #: library -> version
    weights_sha256: str
    networks: Networked | None = None  #: None: machines judge, as in every bundle from before there was this field

    @property
    def head(self) -> Head:
        """What judges."""
        if self.networks is None:
            return "svm"
        return "dnn-sp" if self.networks.kind == "sp" else "dnn-attcp"

    @property
    def uncalibrated(self) -> tuple[str, ...]:
        """The heads that name a class and no probabilities."""
        return tuple(head for head in self.scheme.heads if head not in self.calibration)


def window_rule() -> str:
    """Fingerprint of the window rule, as sixteen hex digits: of all that decides who speaks and where it is cut."""
    known = vars(windows) | vars(overlap)
    rule = {name: value for name, value in known.items() if name.endswith("_MS") or name in {"ONSET", "OFFSET"}}
    return sha256(msgspec.json.encode(rule, order="sorted")).hexdigest()[:16]


def conversation_mark(conversation: str) -> str:
    """By what a bundle knows a conversation of its corpus again, without holding its name: 32 hex digits."""
    return sha256(f"undertone conversation:{conversation}".encode()).hexdigest()[:32]


def load_manifest(folder: Path) -> tuple[Manifest, bytes]:
    """Read and check `bundle.json`, without the weights beside it; also its bytes. Raises BundleError."""
    path = folder / MANIFEST
    text = read(path)
    _check_format(path, text)
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError as error:
        raise BundleError(f"{path}: {error}") from error
    _check(path, manifest)
    return manifest, text


def read(path: Path) -> bytes:
    """A bundle's file. Raises BundleError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path}: cannot be read ({error.strerror}); a bundle is a folder with {MANIFEST} and {WEIGHTS}"
        ) from error


def check_name(name: str, place: str) -> None:
    """Refuse a name that the inference service could not serve a model by."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise BundleError(f"{place} must be letters, digits, '.', '_' and '-', 64 at most, a letter or digit first")


def check_rate(rate: int, place: str) -> None:
    """Refuse a rate that no window has: a bundle takes them as calls bring them."""
    if rate not in RATES:
        raise BundleError(f"{place} must be {' or '.join(map(str, RATES))} Hz, as windows of calls have, is {rate}")


def _check_format(path: Path, text: bytes) -> None:
    """Say 'newer version' before any field of that version is complained about."""

    class _Format(msgspec.Struct):
        format: int

    try:
        found = msgspec.json.decode(text, type=_Format).format
    except msgspec.MsgspecError as error:
        raise BundleError(f"{path}: {error}") from error
    if found > FORMAT:
        raise BundleError(f"{path}: format {found} is of a newer version, this one reads {FORMAT}; update undertone")
    if found < FORMAT:
        raise BundleError(f"{path}: format {found} is of an older version, this one reads {FORMAT}; train it again")


def _check(path: Path, manifest: Manifest) -> None:
    # A corpus that brings its own segments never met the rule.
    if manifest.training.segmented == "by the window rule" and manifest.window_rule != window_rule():
        raise BundleError(
            f"{path}: trained on windows cut by window rule {manifest.window_rule}, here is {window_rule()};"
            " train it again, or run the version of undertone that trained it"
        )
    check_name(manifest.name, f"{path}: name")
    check_rate(manifest.rate, f"{path}: rate")
    if not 0 <= manifest.limits.min_ms <= manifest.limits.max_ms:
        raise BundleError(f"{path}: limits.min_ms must be 0 or more, and no more than limits.max_ms")
    _check_scheme(path, manifest.scheme)
    _check_numbers(path, manifest)


def _check_scheme(path: Path, scheme: Scheme) -> None:
    if not all(len(set(classes)) == len(classes) >= 2 for classes in scheme.heads.values()):
        raise BundleError(f"{path}: every head of scheme {scheme.name!r} needs two or more different classes")
    if not scheme.heads:
        raise BundleError(f"{path}: scheme {scheme.name!r} has no heads")


def _check_numbers(path: Path, manifest: Manifest) -> None:
    sizes = {head: len(classes) for head, classes in manifest.scheme.heads.items()}
    if any(len(sigmoids) != sizes.get(head) for head, sigmoids in manifest.calibration.items()):
        raise BundleError(f"{path}: calibration needs a sigmoid for each class of a head of the scheme, and no others")
    sigmoids = chain.from_iterable(manifest.calibration.values())
    numbers = [manifest.distance.limit, *(value for each in sigmoids for value in (each.slope, each.offset))]
    if not all(map(isfinite, numbers)) or manifest.distance.limit <= 0:
        raise BundleError(f"{path}: calibration must hold numbers, and distance.limit a positive one")
    if (manifest.distance.neighbours, manifest.distance.percentile) != (NEIGHBOURS, PERCENTILE):
        raise BundleError(f"{path}: distance must be to {NEIGHBOURS} neighbours, its limit percentile {PERCENTILE:g}")
