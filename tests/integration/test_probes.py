import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from streams.metrics import Metrics
from streams.probes import serving


def test_metrics_liveness_and_readiness_are_served() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.count("windows", 3)
    with serving(metrics.registry, "127.0.0.1", 0, live=lambda: True, ready=lambda: False) as port:
        said = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
        assert urllib.request.urlopen(f"http://127.0.0.1:{port}/live").read() == b"yes\n"
        with pytest.raises(urllib.error.HTTPError, match="503") as not_ready:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ready")
        not_ready.value.close()
    families = {family.name: family for family in text_string_to_metric_families(said)}
    assert families["undertone_windows"].samples[0].value == 3
    assert "process_cpu_seconds" in families
