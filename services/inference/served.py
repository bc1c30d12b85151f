"""The bundle that is served, and what makes it ready."""

import numpy as np

from services.emotion.bundle import Bundle, load_bundle
from services.emotion.features.feature import has_frames
from services.emotion.heads import Fast
from services.emotion.manifest import BundleError
from services.emotion.model import judge
from services.inference.settings import InferenceSettings


def open_bundle(settings: InferenceSettings) -> Bundle:
    """The bundle that the settings name, unless it is for demonstrations and no setting allows that.

    BundleError where it cannot be used or must not be.
    """
    bundle = load_bundle(settings.bundle, settings.device)
    if bundle.manifest.limits.demo_only and not settings.allow_demo_bundle:
        raise BundleError(
            f"{settings.bundle}: bundle {bundle.manifest.name!r} is for demonstrations only and must not score real"
            " customers; serve your own with UNDERTONE_INFERENCE_BUNDLE, or, to see the wiring, set"
            " UNDERTONE_INFERENCE_ALLOW_DEMO_BUNDLE=true"
        )
    return bundle


def warm_up(bundle: Bundle) -> None:
    """Judge one window that is voiced enough to run every step, so that the first caller does not pay for it."""
    if isinstance(bundle.judges, Fast) and has_frames(bundle.feature):
        bundle.feature.warm([bundle.manifest.feature.layer])
    rate = bundle.manifest.rate
    phase = np.arange(3 * rate, dtype=np.float32) * np.float32(2 * np.pi * 140 / rate)
    judge(bundle, [(0.1 * np.sin(phase) + 0.05 * np.sin(2 * phase)).astype(np.float32)])
