"""A dashboard's queries, asked of a running Prometheus as Grafana would ask them."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from ops.dashboards.queries import RANGE, RATE

NAMESPACE = "$namespace"
STEPS = 120  #: points of a line


@dataclass(frozen=True, slots=True)
class Period:
    """The time that a dashboard shows (s since 1970), and what rates are taken over in it."""

    begin: float
    end: float
    rate_s: int = 60


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a panel: values that are numbers, and when they were."""

    labels: Mapping[str, str]
    times: tuple[float, ...]
    values: tuple[float, ...]


def ask(prometheus: str, expression: str, period: Period) -> list[Series]:
    """Every series of the expression that has a number in the period. OSError where Prometheus does not answer."""
    asked = {
        "query": _with_variables(expression, period),
        "start": period.begin,
        "end": period.end,
        "step": max(1.0, (period.end - period.begin) / STEPS),
    }
    with urlopen(f"{prometheus}/api/v1/query_range?{urlencode(asked)}", timeout=30) as reply:  # noqa: S310 - as told
        found = json.load(reply)["data"]["result"]
    return [series for series in map(_series, found) if series.values]


def _with_variables(expression: str, period: Period) -> str:
    variables = {RATE: f"{period.rate_s}s", RANGE: f"{math.ceil(period.end - period.begin)}s", NAMESPACE: ".*"}
    for variable, value in variables.items():
        expression = expression.replace(variable, value)
    return expression


def _series(found: Mapping[str, Any]) -> Series:
    numbers = [(at, float(value)) for at, value in found["values"] if math.isfinite(float(value))]
    return Series(found["metric"], tuple(at for at, _ in numbers), tuple(value for _, value in numbers))
