"""A trained model as deployed: a folder with `bundle.json` (what it is) and its arrays in `heads.safetensors`.

Where networks judge they are in `networks.safetensors`, and the arrays are what a window's distance is told by.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from services.emotion.abstention import Reference
from services.emotion.features.feature import Feature, FeatureError, has_frames
from services.emotion.features.registry import open_feature
from services.emotion.heads import FAR, Fast, Heads, Product, fast
from services.emotion.manifest import MANIFEST, NETWORKS, WEIGHTS, BundleError, Kind, Manifest, Networked, load_manifest
from services.emotion.publish import content, publish

if TYPE_CHECKING:
    from services.emotion.networks import Networks  # needs torch, which bundles of machines do without

DEMO = Path(__file__).parent / "bundles" / "demo"
_DTYPES = {
    "mean": "f8",
    "scale": "f8",
    "reference": "f2",  #: the training windows, standardised
    "groups": "i4",  #: of which conversation, else speaker, each is
    "copies": "f2",  #: support vectors that are training copies: no window is compared with them for its distance
    "support": "i4",  #: which of both, one after the other, are support vectors
    "dual": "f8",
    "intercept": "f8",
    "gamma": "f8",
}


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded bundle; `sha256` is the digest of its files."""

    manifest: Manifest
    feature: Feature = field(repr=False)
    judges: "Fast | Networks" = field(repr=False)
    reference: Reference = field(repr=False)
    sha256: str

    @property
    def heads(self) -> "Heads | Networks":
        """The machines, or the networks, as they are saved."""
        return self.judges.heads if isinstance(self.judges, Fast) else self.judges

    @property
    def hears(self) -> Hashable:
        """Bundles with the same hear a window alike, so that windows of theirs may be heard together.

        That is, machines by the same hidden layer of the same feature at the same rate. Networks hear for themselves.
        """
        known = self.manifest
        own = () if isinstance(self.judges, Fast) else (id(self),)
        return (known.feature.name, known.feature.version, known.feature.layer, known.rate, *own)


def save_bundle(
    folder: Path, manifest: Manifest, heads: "Heads | Networks", reference: Reference, device: str = "cpu"
) -> Bundle:
    """Make this the bundle in `folder`, where it replaces another in one step (see `publish`). BundleError.

    The digests, `networks` and the distance's limit of the manifest are filled in here.
    """
    files = {WEIGHTS: _packed(heads, reference)}
    networked = None
    if not isinstance(heads, Heads):
        from services.emotion.networks import save_networks  # noqa: PLC0415 - needs torch

        files[NETWORKS] = save_networks(heads.by_head)
        kind = next(iter(heads.by_head.values())).shape.kind
        networked = Networked(kind, sha256(files[NETWORKS]).hexdigest())
    manifest = msgspec.structs.replace(
        manifest,
        distance=msgspec.structs.replace(manifest.distance, limit=reference.limit),
        weights_sha256=sha256(files[WEIGHTS]).hexdigest(),
        networks=networked,
    )
    publish(folder, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n", files)
    return load_bundle(folder, device)


def _packed(heads: "Heads | Networks", reference: Reference) -> bytes:
    given: dict[str, object] = {
        "mean": heads.mean,
        "scale": heads.scale,
        "reference": reference.points,
        "groups": reference.groups,
    }
    if isinstance(heads, Heads):
        windows = _clipped(reference.points)
        copies = _others(heads.support, windows)
        given |= {
            "copies": copies,
            "support": _places(heads.support, np.concatenate([windows, copies])),
            "dual": heads.dual,
            "intercept": heads.intercept,
            "gamma": heads.gamma,
        }
    return save({name: np.atleast_1d(np.asarray(array, _DTYPES[name])) for name, array in given.items()})


def load_bundle(folder: Path, device: str = "cpu", *, half: bool = False) -> Bundle:
    """Read and check a bundle, and open its feature and networks on the device, as torch calls it.

    `half` computes an encoder in bfloat16 where float32 would be the default.
    BundleError where a file is missing, damaged or of another version.
    """
    manifest, text = load_manifest(folder)
    weights = content(folder / WEIGHTS, manifest.weights_sha256)
    networks = b"" if manifest.networks is None else content(folder / NETWORKS, manifest.networks.sha256)
    feature = _feature(folder / MANIFEST, manifest, device, half=half)
    arrays = _arrays(folder / WEIGHTS, weights, manifest, feature.values)
    judges: Fast | Networks
    if manifest.networks is None:
        judges = fast(_heads(arrays, manifest), _elsewhere(device))
        if has_frames(feature):
            feature.exit_at(manifest.feature.layer)
    else:
        kind, path = manifest.networks.kind, folder / NETWORKS
        judges = _networks(path, networks, arrays, kind=kind, manifest=manifest, feature=feature, device=device)
    reference = Reference(arrays["reference"].astype(np.float32), arrays["groups"], manifest.distance.limit)
    return Bundle(manifest, feature, judges, reference, sha256(text + weights + networks).hexdigest())


def _elsewhere(device: str) -> "Callable[[Fast], Product] | None":
    """Where machines score that is no processor."""
    if device == "cpu":
        return None
    from services.emotion.heads_on_device import on  # noqa: PLC0415 - needs torch

    return on(device)


def _feature(path: Path, manifest: Manifest, device: str, *, half: bool) -> Feature:
    wanted = manifest.feature
    try:
        feature = open_feature(wanted.name, wanted.models, device, half=half)
    except FeatureError as error:
        raise BundleError(f"{path}: {error}") from error
    if feature.version != wanted.version:
        raise BundleError(
            f"{path}: made for feature {wanted.name} of version {wanted.version}, here is {feature.version};"
            " train it again"
        )
    if not 0 <= wanted.layer < feature.layers:
        raise BundleError(f"{path}: feature {wanted.name} has {feature.layers} layer(s), no layer {wanted.layer}")
    if manifest.networks is not None and not has_frames(feature):
        raise BundleError(f"{path}: networks hear frames, and feature {wanted.name} has none; train it again")
    return feature


def _arrays(path: Path, weights: bytes, manifest: Manifest, values: int) -> dict[str, NDArray[Any]]:
    try:
        arrays: dict[str, NDArray[Any]] = load(weights)
    except SafetensorError as error:
        raise BundleError(f"{path}: {error}") from error
    columns, rows = sum(map(len, manifest.scheme.heads.values())), manifest.training.windows
    sizes = {name: len(array) for name, array in arrays.items() if array.ndim}
    vectors, copies = sizes.get("support", 0), sizes.get("copies", 0)
    shapes: dict[str, tuple[int, ...]] = {
        "mean": (values,),
        "scale": (values,),
        "reference": (rows, values),
        "groups": (rows,),
    }
    if manifest.networks is None:
        shapes |= {"support": (vectors,), "dual": (vectors, columns), "intercept": (columns,), "gamma": (1,)}
        shapes |= {"copies": (copies, values)}
    for name, shape in shapes.items():
        _check_array(path, name, arrays.get(name), shape)
    _check_values(path, arrays, rows + copies, len(manifest.training.conversations))
    return arrays


def _check_array(path: Path, name: str, array: NDArray[Any] | None, shape: tuple[int, ...]) -> None:
    if array is None or array.dtype != _DTYPES[name] or array.shape != shape:
        found = "missing" if array is None else f"{array.dtype} {array.shape}"
        raise BundleError(f"{path}: array {name!r} must be {np.dtype(_DTYPES[name])} {shape}, is {found}")
    if not np.isfinite(array).all():
        raise BundleError(f"{path}: array {name!r} holds values that are no numbers")


def _check_values(path: Path, arrays: Mapping[str, NDArray[Any]], rows: int, groups: int) -> None:
    if not all((arrays[name] > 0).all() for name in ("scale", "gamma") if name in arrays):
        raise BundleError(f"{path}: scale and gamma must be positive")
    for name, limit in (("support", rows), ("groups", groups)):
        if name in arrays and not ((arrays[name] >= 0) & (arrays[name] < limit)).all():
            raise BundleError(f"{path}: array {name!r} must lie from 0 to {limit - 1}")


def _heads(arrays: Mapping[str, NDArray[Any]], manifest: Manifest) -> Heads:
    points = np.concatenate([arrays["reference"], arrays["copies"]])[arrays["support"]].astype(np.float32)
    return Heads(
        classes=manifest.scheme.heads,
        support=_clipped(points),
        gamma=float(arrays["gamma"].astype(np.float64)[0]),
        **{name: arrays[name].astype(np.float64) for name in ("mean", "scale", "dual", "intercept")},
    )


def _networks(
    path: Path,
    found: bytes,
    arrays: Mapping[str, NDArray[Any]],
    *,
    kind: Kind,
    manifest: Manifest,
    feature: Feature,
    device: str,
) -> "Networks":
    """The networks, in the order of the scheme's heads, where they are what manifest and feature ask for."""
    from services.emotion.networks import NetworkError, Networks, Shape, load_networks  # noqa: PLC0415 - needs torch

    try:
        networks = load_networks(path, found)
    except NetworkError as error:
        raise BundleError(str(error)) from error
    heads = manifest.scheme.heads
    if networks.keys() != heads.keys():
        raise BundleError(f"{path}: has heads {', '.join(networks)}, {MANIFEST} {', '.join(heads)}; train it again")
    for head, classes in heads.items():
        shape, wanted = networks[head].shape, Shape(kind, feature.layers, feature.values, classes)
        if shape != wanted:
            raise BundleError(
                f"{path}: head {head} is {shape}, {MANIFEST} and feature {feature.name} ask for {wanted};"
                " train it again"
            )
    mean, scale = (arrays[name].astype(np.float64) for name in ("mean", "scale"))
    return Networks({head: networks[head].to(device) for head in heads}, mean, scale)


def _clipped(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """As machines see training windows; the reference holds how far they lie outside as well."""
    return np.clip(points, -FAR, FAR)


def _others(vectors: NDArray[np.float32], among: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors that are none of the training windows: copies of them."""
    known = {row.tobytes() for row in among}
    return vectors[[row.tobytes() not in known for row in vectors]]


def _places(vectors: NDArray[np.float32], among: NDArray[np.float32]) -> NDArray[np.int32]:
    """Where each vector is among the training windows and their copies."""
    known = {row.tobytes(): place for place, row in enumerate(among)}
    return np.array([known[row.tobytes()] for row in vectors], np.int32)
