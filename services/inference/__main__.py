"""`python -m services.inference`: serve bundles until told to stop."""

import logging
import os
import sys

from aiohttp import web
from prometheus_client import CollectorRegistry

from services.emotion.manifest import BundleError
from services.inference.served import open_bundles
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
        bundles = open_bundles(settings)
    except (SettingsError, BundleError) as error:
        sys.exit(str(error))
    server = InferenceServer(bundles, settings, Metrics(CollectorRegistry()))
    for bundle in bundles.values():
        log.info("serving a bundle", extra={"bundle": bundle.manifest.name, "sha256": bundle.sha256})
    web.run_app(
        server.app(),
        host=settings.host,
        port=settings.port,
        access_log=None,
        print=None,
        handler_cancellation=True,  # a request whose client has gone is not judged
    )


if __name__ == "__main__":
    main()
