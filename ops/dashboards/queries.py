"""Queries in PromQL, made from the metric catalogue: a name, a label or a value that it lacks raises ValueError."""

import re
from collections.abc import Collection, Iterator, Mapping

from streams.metrics import CATALOGUE, PARTITION, Kind, Metric

RATE = "$__rate_interval"
RANGE = "$__range"
#: Labels that every series has once it is scraped (helm/undertone/templates/monitoring.yaml, and Prometheus Operator).
SCRAPED = frozenset({"component", "namespace"})
SITE = 'namespace=~"$namespace"'  #: where several releases share a Prometheus
BORN = f"process_start_time_seconds{{{SITE}}}"  #: of prometheus-client, which each process registers

_KNOWN = {metric.name: metric for metric in CATALOGUE}
_NAME = re.compile(r"undertone_\w+")
Where = str | Collection[str]


def rate(name: str, *by: str, **where: Where) -> str:
    """What is added to a counter a second."""
    return _sum(f"rate({_counter(name, by, where)}[{RATE}])", by)


def per_minute(name: str, *by: str, **where: Where) -> str:
    """What is added to a counter a minute."""
    return f"60 * {rate(name, *by, **where)}"


def heard(*by: str, **where: Where) -> str:
    """Seconds of audio a second: how many channels that is of calls in real time."""
    return f"{rate('audio_ms', *by, **where)} / 1000"


def added(name: str, *by: str, over: str = RANGE, **where: Where) -> str:
    """What was added to a counter, as a rule in all the time that the dashboard shows."""
    return _sum(f"increase({_counter(name, by, where)}[{over}])", by)


def now(name: str, *by: str, how: str = "sum", **where: Where) -> str:
    """A gauge; `how` says what is made of several processes that have it."""
    return _over(how, _selector(_find(name, Kind.GAUGE, by), "", where), by)


def quantile(q: float, name: str, *by: str) -> str:
    """The value that this share of a histogram's lies under."""
    buckets = _selector(_find(name, Kind.HISTOGRAM, by), "_bucket", {})
    return f"histogram_quantile({q}, {_sum(f'rate({buckets}[{RATE}])', ('le', *by))})"


def under(bound: float, name: str, over: str = RATE) -> str:
    """The share of a histogram's values that are at most a bound, which must be one of its buckets'."""
    metric = _find(name, Kind.HISTOGRAM, ())
    if bound not in metric.buckets:
        raise ValueError(f"{name} has no bucket of {bound}")
    hits, every = _selector(metric, "_bucket", {}, f'le="{bound}"'), _selector(metric, "_count", {})
    return share(f"sum(rate({hits}[{over}]))", f"sum(rate({every}[{over}]))")


def mean(name: str) -> str:
    """The mean of a histogram's values."""
    metric = _find(name, Kind.HISTOGRAM, ())
    total, every = (_selector(metric, ending, {}) for ending in ("_sum", "_count"))
    return share(f"sum(rate({total}[{RATE}]))", f"sum(rate({every}[{RATE}]))")


def share(part: str, whole: str) -> str:
    """The one by the other; no number where the other is 0."""
    return f"{part} / {whole}"


def named(expression: str) -> Iterator[Metric]:
    """The catalogue's metrics that a query names."""
    names = set(_NAME.findall(expression))
    for metric in CATALOGUE:
        if names & {metric.exposed, *(metric.exposed + ending for ending in ("_bucket", "_sum", "_count"))}:
            yield metric


def _counter(name: str, by: Collection[str], where: Mapping[str, Where]) -> str:
    return _selector(_find(name, Kind.COUNTER, by), "", where)


def _find(name: str, kind: Kind, by: Collection[str]) -> Metric:
    metric = _KNOWN.get(name)
    if metric is None or metric.kind is not kind:
        raise ValueError(f"no {kind} {name} in the catalogue")
    if unknown := set(by) - metric.labels.keys() - SCRAPED:
        raise ValueError(f"{name} has no label {', '.join(sorted(unknown))}")
    return metric


def _selector(metric: Metric, ending: str, where: Mapping[str, Where], *more: str) -> str:
    matchers = [SITE, *more, *(_matcher(metric, label, values) for label, values in where.items())]
    return f"{metric.exposed}{ending}{{{', '.join(matchers)}}}"


def _matcher(metric: Metric, label: str, values: Where) -> str:
    wanted = [values] if isinstance(values, str) else sorted(values)
    allowed = metric.labels.get(label, frozenset())
    if label not in SCRAPED and (allowed == PARTITION or not set(wanted) <= allowed):
        raise ValueError(f"{metric.name}: {label} has no value {', '.join(wanted)} in the catalogue")
    return f'{label}="{wanted[0]}"' if len(wanted) == 1 else f'{label}=~"{"|".join(wanted)}"'


def _sum(expression: str, by: Collection[str]) -> str:
    return _over("sum", expression, by)


def _over(how: str, expression: str, by: Collection[str]) -> str:
    return f"{how} by ({', '.join(by)}) ({expression})" if by else f"{how}({expression})"
