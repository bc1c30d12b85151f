import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from streams.domain.deadletters import Reason
from streams.metrics import CATALOGUE, Kind, Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def test_every_declared_metric_is_exposed_under_its_declared_name(metrics: Metrics) -> None:
    exposed = generate_latest(metrics.registry).decode()
    for metric in CATALOGUE:
        assert f"# TYPE {metric.exposed} {metric.kind}" in exposed


def test_names_are_unique_and_follow_prometheus_custom() -> None:
    names = [metric.name for metric in CATALOGUE]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names)


def test_a_label_value_outside_its_closed_set_is_refused(metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="reason has no such value"):
        metrics.count("dead_letters", reason="call-4711")


def test_a_name_that_was_not_declared_is_refused(metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="no metric surprises"):
        metrics.count("surprises")


def test_a_label_that_was_not_declared_is_refused(metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="in the catalogue"):
        metrics.count("windows", call="somebody")


def test_a_metric_is_used_as_what_it_is(metrics: Metrics) -> None:
    with pytest.raises(TypeError, match="windows is a counter"):
        metrics.set("windows", 1)


def test_counts_add_up(metrics: Metrics) -> None:
    for reason in Reason:
        metrics.count("dead_letters", 2, reason=reason)
    value = metrics.registry.get_sample_value("undertone_dead_letters_total", {"reason": "malformed"})
    assert value == 2


def test_a_partition_that_was_lost_is_no_longer_shown(metrics: Metrics) -> None:
    metrics.set("lag", 7, partition="3")
    metrics.forget("lag", partition="3")
    assert metrics.registry.get_sample_value("undertone_lag", {"partition": "3"}) is None


def test_a_block_that_raises_is_timed_all_the_same(metrics: Metrics) -> None:
    with pytest.raises(OSError, match="gone"), metrics.timed("commit_seconds"):
        raise OSError("gone")
    assert metrics.registry.get_sample_value("undertone_commit_seconds_count") == 1


def test_a_share_is_of_the_last_thousand_of_its_own_partition(metrics: Metrics) -> None:
    def share(partition: str) -> float | None:
        return metrics.registry.get_sample_value("undertone_dead_letter_share", {"partition": partition})

    metrics.share("dead_letter_share", 1, of=1, partition="0")
    metrics.share("dead_letter_share", 40, of=500, partition="3")
    assert (share("0"), share("3")) == (0.001, 0.04)  # those that have not come yet count as good ones
    metrics.share("dead_letter_share", 0, of=990, partition="3")
    assert share("3") == 0.01
    metrics.forget("dead_letter_share", partition="3")
    metrics.share("dead_letter_share", 0, of=1, partition="3")
    assert share("3") == 0


def test_two_registries_share_nothing() -> None:
    one, other = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())
    one.count("windows")
    assert other.registry.get_sample_value("undertone_windows_total") == 0


def test_no_label_could_hold_a_call() -> None:
    labels = {label for metric in CATALOGUE for label in metric.labels}
    closed = {"type", "outcome", "reason", "event", "role", "fate", "severity", "status", "program", "dependency"}
    closed |= {"consent", "said", "state"}
    assert labels == closed | {"partition"}
    assert all(metric.kind is Kind.GAUGE for metric in CATALOGUE if "partition" in metric.labels)


def test_every_declared_metric_is_fed_somewhere() -> None:
    root = Path(__file__).parents[2]
    sources = [
        path.read_text()
        for package in ("streams", "services")
        for path in (root / package).rglob("*.py")
        if path != root / "streams" / "metrics.py"
    ]
    assert [metric.name for metric in CATALOGUE if not any(f'"{metric.name}"' in source for source in sources)] == []
