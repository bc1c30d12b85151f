"""A trained model as deployed: a folder with `bundle.json` (what it is) and `heads.safetensors` (its arrays)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from services.emotion.features.functionals import FEATURE, RATE, names
from services.emotion.heads import Heads
from streams.domain import overlap, windows

FORMAT = 1
DEMO = Path(__file__).parent / "bundles" / "demo"
MANIFEST, WEIGHTS = "bundle.json", "heads.safetensors"
_DTYPES = {
    "mean": "f8",
    "scale": "f8",
    "support": "f4",
    "dual": "f8",
    "intercept": "f8",
    "sharpness": "f8",
    "gamma": "f8",
}


class BundleError(Exception):
    """A bundle cannot be used; the message names the file and what is wrong with it."""


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the manifest: an unknown field is an error."""


class Scheme(_Part, frozen=True):
    """What the heads tell apart."""

    name: str
    heads: dict[str, tuple[str, ...]]  #: head -> classes, in the order of its outputs


class Training(_Part, frozen=True):
    """What the machines were fitted on."""

    corpus: str
    fingerprint: str  #: sha256 over paths, labels, speakers and bytes of every recording
    windows: int
    speakers: tuple[str, ...]
    left_out: tuple[str, ...] = ()  #: speakers kept out of everything
    segmented: Literal["by the corpus", "by the window rule"] = "by the corpus"


class Score(_Part, frozen=True):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class Limits(_Part, frozen=True):
    """Outside of these the bundle abstains; `demo_only`: it must not score real customers."""

    min_ms: int
    max_ms: int
    demo_only: bool


class Manifest(_Part, frozen=True):
    """`bundle.json`."""

    format: int
    name: str
    scheme: Scheme
    feature: str
    rate: int
    window_rule: str  #: `window_rule()` of the code that trained it
    training: Training
    scores: dict[str, dict[str, Score]]  #: head -> measure -> figure, leaving one speaker out
    limits: Limits
    made_with: dict[str, str]  #: library -> version
    weights_sha256: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded bundle; `sha256` is the digest of its two files."""

    manifest: Manifest
    heads: Heads = field(repr=False)
    sha256: str


def window_rule() -> str:
    """Fingerprint of the window rule, as sixteen hex digits: of all that decides who speaks and where it is cut."""
    known = vars(overlap) | vars(windows)
    rule = {name: value for name, value in known.items() if name.endswith("_MS") or name in {"ONSET", "OFFSET"}}
    return sha256(msgspec.json.encode(rule, order="sorted")).hexdigest()[:16]


def save_bundle(folder: Path, manifest: Manifest, heads: Heads) -> Bundle:
    """Write both files into `folder`; `manifest.weights_sha256` is filled in here."""
    arrays = {name: np.asarray(getattr(heads, name), dtype) for name, dtype in _DTYPES.items()}
    weights = save({name: np.atleast_1d(array) for name, array in arrays.items()})
    manifest = msgspec.structs.replace(manifest, weights_sha256=sha256(weights).hexdigest())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(weights)
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return load_bundle(folder)


def load_bundle(folder: Path) -> Bundle:
    """Read and check a bundle. BundleError where a file is missing, damaged or of another version."""
    text, weights = _read(folder / MANIFEST), _read(folder / WEIGHTS)
    manifest = _manifest(folder / MANIFEST, text)
    if sha256(weights).hexdigest() != manifest.weights_sha256:
        raise BundleError(f"{folder / WEIGHTS}: its sha256 is not the one that {MANIFEST} names; copy both files again")
    heads = _heads(folder / WEIGHTS, weights, manifest.scheme.heads)
    return Bundle(manifest, heads, sha256(text + weights).hexdigest())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path}: cannot be read ({error.strerror}); a bundle is a folder with {MANIFEST} and {WEIGHTS}"
        ) from error


def _manifest(path: Path, text: bytes) -> Manifest:
    _check_format(path, text)
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError as error:
        raise BundleError(f"{path}: {error}") from error
    if (manifest.feature, manifest.rate) != (FEATURE, RATE):
        raise BundleError(
            f"{path}: made for features {manifest.feature} at {manifest.rate} Hz,"
            f" here are {FEATURE} at {RATE} Hz; train it again"
        )
    # A corpus that brings its own segments never met the rule.
    if manifest.training.segmented == "by the window rule" and manifest.window_rule != window_rule():
        raise BundleError(
            f"{path}: trained on windows cut by window rule {manifest.window_rule}, here is {window_rule()};"
            " train it again, or run the version of undertone that trained it"
        )
    check_name(manifest.name, f"{path}: name")
    if not all(len(set(classes)) == len(classes) >= 2 for classes in manifest.scheme.heads.values()):
        raise BundleError(f"{path}: every head of scheme {manifest.scheme.name!r} needs two or more different classes")
    if not manifest.scheme.heads:
        raise BundleError(f"{path}: scheme {manifest.scheme.name!r} has no heads")
    return manifest


def check_name(name: str, place: str) -> None:
    """Refuse a name that the inference service could not serve a model by."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise BundleError(f"{place} must be letters, digits, '.', '_' and '-', 64 at most, a letter or digit first")


def _check_format(path: Path, text: bytes) -> None:
    """Say 'newer version' before any field of that version is complained about."""

    class _Format(msgspec.Struct):
        format: int

    try:
        found = msgspec.json.decode(text, type=_Format).format
    except msgspec.MsgspecError as error:
        raise BundleError(f"{path}: {error}") from error
    if found != FORMAT:
        raise BundleError(
            f"{path}: format {found}, this version reads {FORMAT}; train the bundle again or update undertone"
        )


def _heads(path: Path, weights: bytes, classes: Mapping[str, tuple[str, ...]]) -> Heads:
    try:
        arrays = load(weights)
    except SafetensorError as error:
        raise BundleError(f"{path}: {error}") from error
    columns, size = sum(map(len, classes.values())), len(names())
    vectors = len(arrays["support"]) if "support" in arrays and arrays["support"].ndim else 0
    shapes = {
        "mean": (size,),
        "scale": (size,),
        "support": (vectors, size),
        "dual": (vectors, columns),
        "intercept": (columns,),
        "sharpness": (len(classes),),
        "gamma": (1,),
    }
    for name, shape in shapes.items():
        _check_array(path, name, arrays.get(name), shape)
    if not (arrays["scale"] > 0).all() or not (arrays["sharpness"] > 0).all() or arrays["gamma"][0] <= 0:
        raise BundleError(f"{path}: scale, sharpness and gamma must be positive")
    gamma = float(arrays.pop("gamma")[0])
    return Heads(classes=classes, gamma=gamma, **{name: arrays[name] for name in shapes if name != "gamma"})


def _check_array(path: Path, name: str, array: np.ndarray | None, shape: tuple[int, ...]) -> None:
    if array is None or array.dtype != _DTYPES[name] or array.shape != shape:
        found = "missing" if array is None else f"{array.dtype} {array.shape}"
        raise BundleError(f"{path}: array {name!r} must be {np.dtype(_DTYPES[name])} {shape}, is {found}")
    if not np.isfinite(array).all():
        raise BundleError(f"{path}: array {name!r} holds values that are no numbers")
