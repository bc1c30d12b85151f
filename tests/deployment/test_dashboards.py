"""Grafana's dashboards: made from the catalogue, committed as made, and naming nothing that is not exposed."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployment.conftest import CHART, LEAST, Render, of_kind
from deployment.promql import exposed, faults

from ops.dashboards.__main__ import BOARDS, FOLDER
from ops.dashboards.board import as_json
from ops.dashboards.objective import GOAL, WITHIN_S
from ops.dashboards.queries import now, rate, under
from streams.metrics import CATALOGUE

FILES = sorted(path.name for path in FOLDER.glob("*.json"))
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$namespace": ".*"}


def board(file: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((FOLDER / file).read_text())
    return read


def panels(file: str) -> list[dict[str, Any]]:
    return [panel for panel in board(file)["panels"] if panel["type"] != "row"]


def queries(file: str) -> list[tuple[str, str]]:
    """Legend and expression of each target."""
    return [(target["legendFormat"], target["expr"]) for panel in panels(file) for target in panel["targets"]]


def test_what_is_committed_is_what_is_made_now() -> None:
    assert {f"{each.name}.json" for each in BOARDS} == set(FILES)
    for each in BOARDS:
        assert as_json(each) == (FOLDER / f"{each.name}.json").read_text(), "run python -m ops.dashboards"


@pytest.mark.parametrize("file", FILES)
def test_no_query_names_a_metric_or_label_that_there_is_not(file: str) -> None:
    assert {expression: found for _, expression in queries(file) if (found := [*faults(expression)])} == {}


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("sum(rate(undertone_surprises_total[5m]))", "undertone_surprises_total"),
        ('undertone_labels_total{outcome="wonderful"}', "undertone_labels_total{outcome=wonderful}"),
        ("sum by (call) (undertone_open_calls)", "by call"),
        ('undertone_label_seconds_bucket{le="2.5"}', "undertone_label_seconds_bucket{le=2.5}"),
        ("sum(rate(undertone_label_seconds[5m]))", "undertone_label_seconds"),
        ("vector(0)", "no metric"),
    ],
)
def test_a_query_that_does_is_found(query: str, fault: str) -> None:
    assert list(faults(query)) == [fault]


@pytest.mark.parametrize("file", FILES)
def test_no_query_makes_up_a_number_where_there_is_none(file: str) -> None:
    assert not [expression for _, expression in queries(file) if re.search(r"\b(vector|scalar|absent)\b", expression)]


@pytest.mark.parametrize("file", FILES)
def test_a_legend_names_labels_by_which_its_query_groups(file: str) -> None:
    for legend, expression in queries(file):
        grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")}
        assert set(re.findall(r"\{\{(\w+)\}\}", legend)) == grouped - {"le"}


@pytest.mark.parametrize("file", FILES)
def test_every_panel_has_a_title_of_its_own_and_says_what_it_shows(file: str) -> None:
    titles = [panel["title"] for panel in panels(file)]
    assert len(set(titles)) == len(titles)
    assert all(panel["description"] for panel in panels(file))
    assert {panel["datasource"]["uid"] for panel in panels(file)} == {"$datasource"}
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels(file))


def test_every_metric_of_the_catalogue_is_on_a_dashboard() -> None:
    shown = " ".join(expression for file in FILES for _, expression in queries(file))
    names = {name for name in exposed() if re.search(rf"\b{name}\b", shown)}
    assert {exposed()[name].name for name in names} == {metric.name for metric in CATALOGUE}


@pytest.mark.needs("promtool")
def test_every_query_is_promql(tmp_path: Path) -> None:
    found = [expression for file in FILES for _, expression in queries(file)]
    for variable, value in VARIABLES.items():
        found = [expression.replace(variable, value) for expression in found]
    rules = [{"record": f"query:number:{number}", "expr": expression} for number, expression in enumerate(found)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    command = ["promtool", "check", "rules", str(tmp_path / "rules.yaml")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("made", [lambda: rate("surprises"), lambda: now("windows"), lambda: rate("windows", "call")])
def test_no_query_can_be_made_of_what_the_catalogue_lacks(made: Any) -> None:  # noqa: ANN401 - a lambda
    with pytest.raises(ValueError, match=r"in the catalogue|has no label"):
        made()


def test_no_query_can_be_made_of_a_value_or_a_bucket_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="outcome has no value wonderful"):
        rate("labels", outcome="wonderful")
    with pytest.raises(ValueError, match="partition has no value 3"):
        now("lag", partition="3")
    with pytest.raises(ValueError, match=r"no bucket of 2\.5"):
        under(2.5, "label_seconds")


def test_the_objective_on_the_dashboard_is_that_of_the_rules() -> None:
    (group,) = [
        each
        for each in yaml.safe_load((CHART / "files" / "rules.yaml").read_text())["groups"]
        if each["name"] == "undertone-objective"
    ]
    for rule in group["rules"]:
        assert set(re.findall(r'le="([^"]*)"', rule["expr"])) <= {str(WITHIN_S)}
        allowed = re.findall(r"> (?:[\d.]+ \* )?(0\.\d+)", rule["expr"])
        assert {float(each) for each in allowed} <= {round(1 - GOAL, 9)}
        assert ("alert" in rule) == bool(allowed)


@pytest.mark.needs("helm")
def test_dashboards_are_installed_as_they_are_and_only_where_they_are_asked_for(render: Render) -> None:
    marked = "grafana_dashboard"
    installed = list(of_kind(render("watched-values.yaml"), "ConfigMap").values())
    boards = [each for each in installed if marked in each["metadata"]["labels"]]
    assert {name: text for each in boards for name, text in each["data"].items()} == {
        file: (FOLDER / file).read_text().rstrip("\n") for file in FILES
    }
    assert not [each for each in of_kind(render(LEAST), "ConfigMap").values() if marked in each["metadata"]["labels"]]
