"""What a query names, seen without the code that made it."""

import re
from collections.abc import Iterator

from streams import app
from streams.metrics import CATALOGUE, PARTITION, Kind, Metric

#: The exposed name of a metric, what may stand behind it, and its selector.
_SELECTED = re.compile(r"\b([a-z_]+_[a-z_]+)\b(?:\{([^}]*)\})?(?=[\[)}\s,]|$)")
_MATCHER = re.compile(r'(\w+)=~?"([^"]*)"')
_GROUPED = re.compile(r"\bby \(([^)]*)\)")
OTHERS = {"process_start_time_seconds"}  #: of prometheus-client's ProcessCollector, which each process registers
COMPONENTS = {*app.NAMES, "inference"}
SCRAPED = {"component", "namespace"}  #: labels that are added when a process is scraped


def exposed() -> dict[str, Metric]:
    """Every name that Prometheus sees, and the metric that it is of."""
    found = {}
    for metric in CATALOGUE:
        endings = ("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",)
        found |= {metric.exposed + ending: metric for ending in endings}
    return found


def faults(query: str) -> Iterator[str]:
    """What a query names that no process exposes: metrics, labels and values of labels."""
    known, labels = exposed(), set(SCRAPED)
    selected = [
        (name, selector) for name, selector in _SELECTED.findall(query) if name.startswith(("undertone_", "process_"))
    ]
    if not selected:
        yield "no metric"
    for name, selector in selected:
        metric = known.get(name)
        if metric is None and name not in OTHERS:
            yield name
            continue
        own = dict(metric.labels) if metric else {}
        if metric and name.endswith("_bucket"):
            own["le"] = frozenset(f"{bound:.1f}" for bound in metric.buckets)
        labels |= own.keys()
        for label, values in _MATCHER.findall(selector):
            if not _may_be(label, values, own):
                yield f"{name}{{{label}={values}}}"
    for group in _GROUPED.findall(query):
        yield from (f"by {label.strip()}" for label in group.split(",") if label.strip() not in labels)


def _may_be(label: str, values: str, own: dict[str, frozenset[str]]) -> bool:
    if label == "namespace":
        return values in {"$namespace", ".*"}
    allowed = COMPONENTS if label == "component" else own.get(label, frozenset())
    return allowed == PARTITION or set(values.split("|")) <= allowed
