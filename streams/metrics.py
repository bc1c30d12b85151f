"""Every metric there is, declared once; dashboards and rules may use only these names.

A label has a closed set of values (or is a partition's number), so that no call can ever become one.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from streams.domain.consent import Standing
from streams.domain.deadletters import Reason
from streams.domain.evolution import AROUSAL, VALENCE
from streams.domain.records import Outcome, Role
from streams.domain.reviews import Review
from streams.domain.rules import Severity
from streams.domain.unlabelled import Unlabelled
from streams.domain.windows import Fate

PREFIX = "undertone"
#: Any partition's number: as many values as the topic has partitions, which is few.
PARTITION = frozenset({"<partition>"})
#: From one fetch (milliseconds) to a backlog that nobody looked after (minutes).
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
#: With the two seconds of the service level objective (ops/runbook.md) among them.
WAITED = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0)
SHARES = tuple(tenth / 10 for tenth in range(1, 11))
OTHER = "other"  #: a class whose name annotators' menus do not have
SHARE_OF = 1000
WINDOWS = (1, 2, 4, 8, 16, 32, 64, 128)

_RECORD_TYPES = frozenset({"started", "consent", "audio", "gap", "ended", "window", "label", "unreadable"})
_RECORD_OUTCOMES = frozenset({"handled", "dead"})
_CALL_EVENTS = frozenset({"started", "ended", "idle", "withdrawn", "mixed"})
_DEPENDENCIES = frozenset({"kafka", "postgres", "inference"})
_STATUSES = frozenset({"2xx", "4xx", "5xx"})
ERASURES = frozenset({"waiting", "complete"})
GPU = frozenset({"free", "used"})
_PROGRAMS = frozenset({"segment", "label", "escalate", "relay", "inference", "kafka", "postgres"})


class Kind(StrEnum):
    """What Prometheus makes of it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One declaration; `labels` maps each label to every value that it can have."""

    name: str
    kind: Kind
    help: str
    labels: Mapping[str, frozenset[str]] = field(default_factory=dict)
    buckets: tuple[float, ...] = SECONDS

    @property
    def exposed(self) -> str:
        """The name as Prometheus sees it, less the suffixes of a histogram."""
        return f"{PREFIX}_{self.name}" + ("_total" if self.kind is Kind.COUNTER else "")


def _counter(name: str, explained: str, **labels: Iterable[str]) -> Metric:
    return Metric(name, Kind.COUNTER, explained, _closed(labels))


def _gauge(name: str, explained: str, **labels: Iterable[str]) -> Metric:
    return Metric(name, Kind.GAUGE, explained, _closed(labels))


def _histogram(name: str, explained: str, buckets: tuple[float, ...] = SECONDS) -> Metric:
    return Metric(name, Kind.HISTOGRAM, explained, buckets=buckets)


def _closed(labels: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    return {label: frozenset(map(str, values)) for label, values in labels.items()}


CATALOGUE = (
    # What it takes, step by step, until a person is told.
    _histogram("ingest_seconds", "From a record's log time to its batch being handled."),
    _histogram("window_seconds", "From the end of a window's speech to the broker's acknowledgement of it."),
    _histogram("queue_seconds", "From a window's log time to its request to the inference service."),
    _histogram("inference_seconds", "One request to the inference service, waiting included."),
    _histogram("model_seconds", "Judging one request's windows inside the inference service, queue excluded."),
    _histogram("commit_seconds", "One transaction of a stage, waiting included."),
    _histogram("label_seconds", "From a window's last sample to its label's commit, less the rule's wait.", WAITED),
    _histogram("escalation_seconds", "From the end of the speech to the escalation's row."),
    _histogram("inference_batch_windows", "Windows in one batch of the inference service.", WINDOWS),
    # What came in and what became of it.
    _counter("records", "Records read.", type=_RECORD_TYPES, outcome=_RECORD_OUTCOMES),
    _counter("records_missing", "Records that publishers numbered and that never came."),
    _counter("dead_letters", "Records that could not be used.", reason=Reason),
    _counter("calls", "What happened to calls.", event=_CALL_EVENTS),
    _counter("audio_ms", "Milliseconds of one channel, by what became of them.", role=Role, fate=Fate),
    _counter("windows", "Windows sent."),
    _counter("labels", "Label rows.", outcome=Outcome),
    _counter("inference_requests", "Requests answered by the inference service.", status=_STATUSES),
    _counter("unlabelled", "Windows without a class, and those out of domain that are marked.", reason=Unlabelled),
    _counter("valence", "Windows by the class that the full valence model says.", said={*VALENCE, OTHER}),
    _counter("arousal", "Windows by the class that the full arousal model says.", said={*AROUSAL, OTHER}),
    _histogram("confidence", "From 0 to 1: how likely the full valence model holds the class that it says.", SHARES),
    _counter("not_open", "Windows not scored or not written: their call is not open under their consent."),
    _counter("escalations", "Escalations raised.", severity=Severity),
    _counter("escalations_late", "Escalations raised over 60 s after the speech."),
    _counter("retractions", "Escalations taken back after they were sent."),
    _counter("grants_refused", "Consents granted after a withdrawal or the end of the call; they open nothing."),
    _counter("states_unreadable", "Stored states that no key opens; their calls are treated as over."),
    _counter("relayed", "Outbox rows acknowledged by the broker."),
    # How the process fares.
    _counter("checkpoints", "Calls checkpointed."),
    _counter("commits", "Offset commits accepted by the broker."),
    _counter("commits_refused", "Offset commits refused by the broker; their records are read again."),
    _counter("offsets_lost", "Records that retention took before they were handled."),
    _counter("rebalances", "Times that partitions were taken away."),
    _counter("restarts", "Programs started again by the standalone supervisor.", program=_PROGRAMS),
    _gauge("oldest_open_turn_seconds", "Age of the oldest turn that holds back the commit."),
    _gauge("oldest_unhandled_seconds", "Age, by the log's time, of the oldest record not yet handled."),
    _gauge("certificate_end_seconds", "Unix time at which the client certificate for Kafka ends; 0: there is none."),
    _gauge("open_calls", "Calls in memory, by how their consent stands.", consent=Standing),
    _gauge("erasures", "Erasures on request; `waiting` until the topics have lost the call too.", state=ERASURES),
    _gauge("reviews", "Use cases by how the review of their notice, basis and rules stands.", state=Review),
    _gauge("gpu_bytes", "Memory of the GPU that the inference service runs on.", state=GPU),
    _gauge("queued_bytes", "Bytes fetched and not yet handled."),
    _gauge("loop_lag_seconds", "How late the event loop woke last."),
    _gauge("committed_offset", "What the broker says is committed.", partition=PARTITION),
    _gauge("lag", "Records between the broker's committed offset and the partition's end.", partition=PARTITION),
    _gauge("dead_letter_share", "Dead letters' share of the last 1,000 records.", partition=PARTITION),
    _gauge("waiting", "1 while the process waits for what it depends on.", dependency=_DEPENDENCIES),
    _gauge("live", "1 while the process makes progress or waits for what it depends on."),
    _gauge("ready", "1 while the process could handle a record."),
)
_DECLARED = {metric.name: metric for metric in CATALOGUE}
_Wrapper = TypeVar("_Wrapper", Counter, Gauge, Histogram)


class Metrics:
    """The catalogue on one registry. Names and label values that are not declared raise ValueError."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._recent: dict[tuple[str, ...], deque[bool]] = {}  # what a share is of
        self._made = {metric.name: _make(metric, registry) for metric in CATALOGUE}

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        self._find(Counter, name, labels).inc(amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Put a gauge at `value`."""
        self._find(Gauge, name, labels).set(value)

    def share(self, name: str, hits: int, *, of: int, **labels: str) -> None:
        """Put a gauge at the share of hits among the last thousand; take in `of` more of them, the hits last."""
        recent = self._recent.setdefault((name, *labels.values()), deque([False] * SHARE_OF, maxlen=SHARE_OF))
        recent.extend(number >= of - hits for number in range(of))
        self.set(name, sum(recent) / SHARE_OF, **labels)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add one value (seconds where its name ends so) to a histogram."""
        self._find(Histogram, name, labels).observe(value)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Observe in a histogram how long the block took, also where it raised."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.observe(name, time.perf_counter() - began)

    def forget(self, name: str, **labels: str) -> None:
        """Take a gauge's value away: its partition belongs to another worker now."""
        metric = self._made[_declared(name, labels).name]
        self._recent.pop((name, *labels.values()), None)
        if labels:
            metric.remove_by_labels(labels)

    def _find(self, kind: type[_Wrapper], name: str, labels: Mapping[str, str]) -> _Wrapper:
        metric = self._made[_declared(name, labels).name]
        if not isinstance(metric, kind):
            raise TypeError(f"{name} is a {_DECLARED[name].kind}")
        return metric.labels(**labels) if labels else metric


def _make(metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    name, labels = f"{PREFIX}_{metric.name}", tuple(metric.labels)
    if metric.kind is Kind.HISTOGRAM:
        return Histogram(name, metric.help, labels, buckets=metric.buckets, registry=registry)
    if metric.kind is Kind.GAUGE:
        return Gauge(name, metric.help, labels, registry=registry)
    counter = Counter(name, metric.help, labels, registry=registry)
    for values in product(*metric.labels.values()) if labels else ():
        counter.labels(*values)  # shown from the start at 0, so that its first increase is one
    return counter


def _declared(name: str, labels: Mapping[str, str]) -> Metric:
    metric = _DECLARED.get(name)
    if metric is None or metric.labels.keys() != labels.keys():
        raise ValueError(f"no metric {name} with labels {sorted(labels)} in the catalogue")
    for label, value in labels.items():
        allowed = metric.labels[label]
        if value not in allowed and not (allowed == PARTITION and value.isdecimal()):
            raise ValueError(f"{name}: {label} has no such value in the catalogue")
    return metric
