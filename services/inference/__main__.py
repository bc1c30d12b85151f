"""`python -m services.inference`: serve one bundle until told to stop."""

import logging
import os
import sys

from aiohttp import web
from prometheus_client import CollectorRegistry

from services.emotion.bundle import Bundle, load_bundle
from services.emotion.manifest import BundleError
from services.inference.server import InferenceServer
from services.inference.settings import InferenceSettings
from streams.discreet import discreet
from streams.metrics import Metrics
from streams.settings import SettingsError

log = logging.getLogger(__name__)


def main() -> None:
    """Load, check, warm up, serve. A setting or bundle that cannot be used ends in one line on stderr."""
    discreet()
    try:
        settings = InferenceSettings.read(os.environ)
        bundle = permitted(load_bundle(settings.bundle, settings.device), settings)
    except (SettingsError, BundleError) as error:
        sys.exit(str(error))
    server = InferenceServer(bundle, settings, Metrics(CollectorRegistry()))
    log.info("serving a bundle", extra={"bundle": bundle.manifest.name, "sha256": bundle.sha256})
    web.run_app(server.app(), host=settings.host, port=settings.port, access_log=None, print=None)


def permitted(bundle: Bundle, settings: InferenceSettings) -> Bundle:
    """The bundle, unless it is for demonstrations and no setting names it."""
    if bundle.manifest.limits.demo_only and not settings.allow_demo_bundle:
        raise BundleError(
            f"{settings.bundle}: bundle {bundle.manifest.name!r} is for demonstrations only and must not score real"
            " customers; serve your own with UNDERTONE_INFERENCE_BUNDLE, or, to see the wiring, set"
            " UNDERTONE_INFERENCE_ALLOW_DEMO_BUNDLE=true"
        )
    return bundle


if __name__ == "__main__":
    main()
