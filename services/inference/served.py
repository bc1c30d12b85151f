"""The bundles that are served, and what makes them ready."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from services.emotion.bundle import Bundle, load_bundle
from services.emotion.features.feature import has_frames
from services.emotion.heads import Fast
from services.emotion.manifest import BundleError, load_manifest
from services.emotion.model import judge
from services.inference.settings import InferenceSettings


def open_bundles(settings: InferenceSettings) -> dict[Path, Bundle]:
    """Folder -> the bundle in it, of all folders that the settings name. BundleError as `open_bundle`, or two alike."""
    found: dict[Path, Bundle] = {}
    for folder in settings.folders:
        found[folder] = named_apart(folder, open_bundle(settings, folder), found)
    return found


def named_apart(folder: Path, bundle: Bundle, others: Mapping[Path, Bundle]) -> Bundle:
    """The bundle, if none of another folder goes by its name. BundleError."""
    name = bundle.manifest.name
    if other := next((each for each in others if each != folder and others[each].manifest.name == name), None):
        raise BundleError(f"{folder}: holds bundle {name!r}, and so does {other}; name one of the two otherwise")
    return bundle


def open_bundle(settings: InferenceSettings, folder: Path) -> Bundle:
    """The bundle in one of the folders, unless it is for demonstrations and no setting allows that.

    BundleError where it cannot be used or must not be.
    """
    bundle = load_bundle(folder, settings.device, half=settings.half)
    if bundle.manifest.limits.demo_only and not settings.allow_demo_bundle:
        raise BundleError(
            f"{folder}: bundle {bundle.manifest.name!r} is for demonstrations only and must not score real"
            " customers; serve your own with UNDERTONE_INFERENCE_BUNDLE, or, to see the wiring, set"
            " UNDERTONE_INFERENCE_ALLOW_DEMO_BUNDLE=true"
        )
    return bundle


def holding(settings: InferenceSettings, wanted: str) -> Path:
    """The folder that holds the bundle of this name by now. BundleError where none does."""
    seen = []
    for folder in settings.folders:
        try:
            name = load_manifest(folder)[0].name
        except BundleError as error:  # of another, perhaps
            seen.append(str(error))
        else:
            if name == wanted:
                return folder
            seen.append(f"{folder}: holds bundle {name!r}")
    raise BundleError(f"{'; '.join(seen)}; load what is there, or copy {wanted!r}")


def warm_up(bundle: Bundle) -> None:
    """Judge one window that is voiced enough to run every step, so that the first caller does not pay for it."""
    if isinstance(bundle.judges, Fast) and has_frames(bundle.feature):
        bundle.feature.warm([bundle.manifest.feature.layer])
    rate = bundle.manifest.rate
    phase = np.arange(3 * rate, dtype=np.float32) * np.float32(2 * np.pi * 140 / rate)
    judge(bundle, [(0.1 * np.sin(phase) + 0.05 * np.sin(2 * phase)).astype(np.float32)])
