"""A real Prometheus beside the stack: it scrapes every process, and its rules are the chart's."""

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit

import yaml

from ops.dashboards.ask import Period, ask
from services.standalone.places import free_port
from services.standalone.stack import Stack

ROOT = Path(__file__).parents[2]
RULES = ROOT / "helm" / "undertone" / "files" / "rules.yaml"
PATIENCE_S = 60
SUPERVISOR = "standalone"


@contextmanager
def prometheus(stack: Stack, folder: Path) -> Iterator[str]:
    """Its address, once it has scraped every process; it goes on every second while the block runs."""
    folder.mkdir()
    configuration = _configuration(stack)
    jobs = len(configuration["scrape_configs"])
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    address = f"127.0.0.1:{free_port()}"
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait(lambda: _has_scraped(f"http://{address}", jobs), folder / "log")
            yield f"http://{address}"
        finally:
            process.terminate()


def _configuration(stack: Stack) -> dict[str, Any]:
    """Scrapes give what the chart's ServiceMonitor gives: the label `component`."""
    addresses = {name: urlsplit(probe).netloc for name, probe in stack.probes.items()}
    jobs = [_job(name, address) for name, address in addresses.items()]
    # It shares the catalogue with the workers and feeds one metric of it.
    only = {"source_labels": ["__name__"], "regex": "undertone_restarts_total", "action": "keep"}
    supervisor = {**_job(SUPERVISOR, urlsplit(stack.metrics).netloc), "metric_relabel_configs": [only]}
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [*jobs, supervisor],
    }


def _job(component: str, address: str) -> Mapping[str, object]:
    return {"job_name": component, "static_configs": [{"targets": [address], "labels": {"component": component}}]}


def _has_scraped(address: str, jobs: int) -> bool:
    now = time.time()
    return len(ask(address, "up == 1", Period(now - 1, now))) == jobs


def _wait(done: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with suppress(URLError):  # it does not listen yet, or has nothing loaded
            if done():
                return
        time.sleep(0.2)
    raise AssertionError(f"Prometheus has not scraped everything:\n{log.read_text()[-2000:]}")
