"""A trained model as deployed: a folder with `bundle.json` (what it is) and `heads.safetensors` (its arrays)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from services.emotion.abstention import Reference
from services.emotion.features.feature import Feature, FeatureError
from services.emotion.features.registry import open_feature
from services.emotion.heads import FAR, Fast, Heads, fast
from services.emotion.manifest import MANIFEST, WEIGHTS, BundleError, Described, Manifest, load_manifest, read

DEMO = Path(__file__).parent / "bundles" / "demo"
_DTYPES = {
    "mean": "f8",
    "scale": "f8",
    "reference": "f4",  #: the training windows, standardised
    "groups": "i4",  #: of which conversation, else speaker, each is
    "support": "i4",  #: which of them are support vectors
    "dual": "f8",
    "intercept": "f8",
    "gamma": "f8",
}


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded bundle; `sha256` is the digest of its two files."""

    manifest: Manifest
    feature: Feature = field(repr=False)
    fast: Fast = field(repr=False)
    reference: Reference = field(repr=False)
    sha256: str

    @property
    def heads(self) -> Heads:
        """The machines."""
        return self.fast.heads


def save_bundle(folder: Path, manifest: Manifest, heads: Heads, reference: Reference, device: str = "cpu") -> Bundle:
    """Write both files into `folder`; `weights_sha256` and `distance` of the manifest are filled in here."""
    given = {
        "mean": heads.mean,
        "scale": heads.scale,
        "reference": reference.points,
        "groups": reference.groups,
        "support": _places(heads.support, _clipped(reference.points)),
        "dual": heads.dual,
        "intercept": heads.intercept,
        "gamma": heads.gamma,
    }
    weights = save({name: np.atleast_1d(np.asarray(given[name], dtype)) for name, dtype in _DTYPES.items()})
    distance = msgspec.structs.replace(manifest.distance, limit=reference.limit)
    manifest = msgspec.structs.replace(manifest, distance=distance, weights_sha256=sha256(weights).hexdigest())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(weights)
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return load_bundle(folder, device)


def load_bundle(folder: Path, device: str = "cpu") -> Bundle:
    """Read and check a bundle, and open its feature on the device, as torch calls it.

    BundleError where a file is missing, damaged or of another version.
    """
    (manifest, text), weights = load_manifest(folder), read(folder / WEIGHTS)
    if sha256(weights).hexdigest() != manifest.weights_sha256:
        raise BundleError(f"{folder / WEIGHTS}: its sha256 is not the one that {MANIFEST} names; copy both files again")
    feature = _feature(folder / MANIFEST, manifest.feature, device)
    arrays = _arrays(folder / WEIGHTS, weights, manifest, feature.values)
    reference = Reference(arrays["reference"], arrays["groups"], manifest.distance.limit)
    return Bundle(manifest, feature, fast(_heads(arrays, manifest)), reference, sha256(text + weights).hexdigest())


def _feature(path: Path, wanted: Described, device: str) -> Feature:
    try:
        feature = open_feature(wanted.name, wanted.models, device)
    except FeatureError as error:
        raise BundleError(f"{path}: {error}") from error
    if feature.version != wanted.version:
        raise BundleError(
            f"{path}: made for feature {wanted.name} of version {wanted.version}, here is {feature.version};"
            " train it again"
        )
    if not 0 <= wanted.layer < feature.layers:
        raise BundleError(f"{path}: feature {wanted.name} has {feature.layers} layer(s), no layer {wanted.layer}")
    return feature


def _arrays(path: Path, weights: bytes, manifest: Manifest, values: int) -> dict[str, NDArray[Any]]:
    try:
        arrays: dict[str, NDArray[Any]] = load(weights)
    except SafetensorError as error:
        raise BundleError(f"{path}: {error}") from error
    columns, rows = sum(map(len, manifest.scheme.heads.values())), manifest.training.windows
    vectors = len(arrays["support"]) if "support" in arrays and arrays["support"].ndim else 0
    shapes = {
        "mean": (values,),
        "scale": (values,),
        "reference": (rows, values),
        "groups": (rows,),
        "support": (vectors,),
        "dual": (vectors, columns),
        "intercept": (columns,),
        "gamma": (1,),
    }
    for name, shape in shapes.items():
        _check_array(path, name, arrays.get(name), shape)
    _check_values(path, arrays, rows, len(manifest.training.conversations))
    return arrays


def _check_array(path: Path, name: str, array: NDArray[Any] | None, shape: tuple[int, ...]) -> None:
    if array is None or array.dtype != _DTYPES[name] or array.shape != shape:
        found = "missing" if array is None else f"{array.dtype} {array.shape}"
        raise BundleError(f"{path}: array {name!r} must be {np.dtype(_DTYPES[name])} {shape}, is {found}")
    if not np.isfinite(array).all():
        raise BundleError(f"{path}: array {name!r} holds values that are no numbers")


def _check_values(path: Path, arrays: Mapping[str, NDArray[Any]], rows: int, groups: int) -> None:
    if not all((arrays[name] > 0).all() for name in ("scale", "gamma")):
        raise BundleError(f"{path}: scale and gamma must be positive")
    for name, limit in (("support", rows), ("groups", groups)):
        if not ((arrays[name] >= 0) & (arrays[name] < limit)).all():
            raise BundleError(f"{path}: array {name!r} must lie from 0 to {limit - 1}")


def _heads(arrays: Mapping[str, NDArray[Any]], manifest: Manifest) -> Heads:
    points: NDArray[np.float32] = arrays["reference"][arrays["support"].astype(np.int64)].astype(np.float32)
    return Heads(
        classes=manifest.scheme.heads,
        support=_clipped(points),
        gamma=float(arrays["gamma"].astype(np.float64)[0]),
        **{name: arrays[name].astype(np.float64) for name in ("mean", "scale", "dual", "intercept")},
    )


def _clipped(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """As machines see training windows; the reference holds how far they lie outside as well."""
    return np.clip(points, -FAR, FAR)


def _places(vectors: NDArray[np.float32], among: NDArray[np.float32]) -> NDArray[np.int32]:
    """Where each vector is among the training windows."""
    known = {row.tobytes(): place for place, row in enumerate(among)}
    return np.array([known[row.tobytes()] for row in vectors], np.int32)
