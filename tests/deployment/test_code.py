"""Nothing in the chart, the rules or the runbook names a setting, port, topic or metric that the code does not have."""

import json
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployment.conftest import CHART, CI, Pod, Render, of_kind, pod, pods
from deployment.promql import exposed, faults

from services import cli
from services.inference import server
from services.inference.settings import InferenceSettings
from streams import app, probes, topics, usecases
from streams.metrics import CATALOGUE
from streams.settings import Settings

GROUPS = yaml.safe_load((CHART / "files" / "rules.yaml").read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDS = {rule["record"] for rule in RULES if "record" in rule}
ACLS = yaml.safe_load((CHART / "files" / "acls.yaml").read_text())
OPERATIONS = yaml.safe_load((CHART / "files" / "operations.yaml").read_text())
RUNBOOK = CHART.parents[1] / "ops" / "runbook.md"
METRIC = re.compile(r"\bundertone_[a-z_]+")
RECORDED = re.compile(r"\bundertone:[\w:]+")


def read(found: Pod, folder: Path) -> Settings:
    """The settings that a container would have, with a file for every secret that it names."""
    env = dict(found.env)
    for name in [name for name in env if name.endswith("_FILE")]:
        file = folder / name
        file.write_text("postgresql://u:p@h:5432/d" if "POSTGRES" in name else "a password")
        env[name] = str(file)
    return Settings.read(env)


@pytest.mark.needs("helm")
@pytest.mark.parametrize("file", CI)
def test_every_variable_is_a_setting_that_takes_it(file: str, render: Render, tmp_path: Path) -> None:
    for found in pods(render(file)):
        if found.component == "inference":
            assert InferenceSettings.read(found.env).port == 8000
        else:
            assert read(found, tmp_path).postgres.get_secret_value()


@pytest.mark.needs("helm")
@pytest.mark.parametrize("file", CI)
def test_every_path_that_a_variable_names_is_mounted(file: str, render: Render) -> None:
    for found in pods(render(file)):
        mounts = [mount["mountPath"] for mount in found.container["volumeMounts"]]
        paths = [value for name, value in found.env.items() if value.startswith("/") and value != "/bundle"]
        assert all(path.startswith(tuple(mounts)) for path in paths)
        secrets = {path.rpartition("/")[2] for path in paths if path.startswith("/etc/undertone/secrets/")}
        projected = [volume["projected"]["sources"] for volume in found.spec["volumes"] if "projected" in volume]
        there = {item["path"] for sources in projected for source in sources for item in source["secret"]["items"]}
        assert secrets == there


@pytest.mark.needs("helm")
@pytest.mark.parametrize("file", CI)
def test_every_command_is_one_that_there_is(file: str, render: Render) -> None:
    known = {("python", "-m", "streams", name) for name in app.NAMES}
    known |= {("python", "-m", "services.inference"), ("alembic", "upgrade", "head"), ("undertone", "topics", "apply")}
    for found in pods(render(file)):
        command = tuple(found.container["command"])
        if command[:2] == ("sh", "-c"):
            command = tuple(command[2].removeprefix("rm -f /tmp/alive && exec ").split())
        assert command in known or command[:2] == ("undertone", "trial")
        assert command[0] != "undertone" or command[1] in cli.COMMANDS


@pytest.mark.needs("helm")
def test_probes_and_ports_are_those_that_are_served(render: Render) -> None:
    served = Path(probes.__file__).read_text()
    for name in app.NAMES:
        container = pod(render(), name).container
        port = pod(render(), name).env["UNDERTONE_METRICS_PORT"]
        assert container["ports"] == [{"name": "metrics", "containerPort": int(port)}]
        assert f'"{container["readinessProbe"]["httpGet"]["path"]}"' in served
    ready = pod(render(), "inference").container["readinessProbe"]["httpGet"]["path"]
    assert f'"{ready}"' in Path(server.__file__).read_text()


@pytest.mark.needs("helm")
def test_label_asks_the_service_that_inference_has(render: Render) -> None:
    address = pod(render(), "label").env["UNDERTONE_INFERENCE"]
    (service,) = [name for name in of_kind(render(), "Service") if name.endswith("-inference")]
    assert address == f"http://{service}.calls.svc:8000"


@pytest.mark.needs("helm")
def test_a_service_has_the_pods_that_listen_on_its_port_and_no_others(render: Render) -> None:
    for service in of_kind(render(), "Service").values():
        (port,) = service["spec"]["ports"]
        for found in pods(render()):
            listens = port["targetPort"] in {each["name"] for each in found.container.get("ports", [])}
            assert (service["spec"]["selector"].items() <= found.metadata["labels"].items()) is listens


@pytest.mark.needs("helm")
def test_the_rules_are_installed_as_they_are_tested(render: Render) -> None:
    (installed,) = of_kind(render("watched-values.yaml"), "PrometheusRule").values()
    assert installed["spec"]["groups"] == GROUPS


@pytest.mark.needs("helm")
def test_what_is_scraped_has_a_port_of_a_service_and_the_label_that_rules_use(render: Render) -> None:
    documents = render("watched-values.yaml")
    (monitor,) = of_kind(documents, "ServiceMonitor").values()
    served = {each["spec"]["ports"][0]["name"] for each in of_kind(documents, "Service").values()}
    assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} == served
    for endpoint in monitor["spec"]["endpoints"]:
        assert [each["targetLabel"] for each in endpoint["relabelings"]] == ["component"]
    for service in of_kind(documents, "Service").values():
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()


@pytest.mark.needs("helm")
def test_use_cases_are_read_as_they_were_given(render: Render, tmp_path: Path) -> None:
    (config,) = of_kind(render("download-values.yaml"), "ConfigMap").values()
    for name, text in config["data"].items():
        (tmp_path / name).write_text(text)
    found = usecases.load(tmp_path)
    assert (found["support"].bundle, found["support"].rules[0].hits) == ("support-1", 2)
    assert found["support"].review_by == date(2027, 3, 31)


def test_the_topics_for_strimzi_are_those_that_are_declared() -> None:
    declared = {topic.name: dict(topic.config) for topic in topics.TOPICS}
    assert yaml.safe_load((CHART / "files" / "topics.yaml").read_text()) == declared


def test_each_stage_may_read_what_it_reads_by_its_group_and_no_other_may() -> None:
    for stage, topic in app.SOURCES.items():
        assert (ACLS[stage]["read"], ACLS[stage]["group"]) == ([topic.name], [app.group(stage)])
    assert {name for name, may in ACLS.items() if "read" in may} == set(app.SOURCES)


def test_each_topic_has_one_component_that_writes_it_but_for_dead_letters() -> None:
    writers = {
        topic.name: [name for name, may in ACLS.items() if topic.name in may.get("write", [])]
        for topic in topics.TOPICS
    }
    assert writers == {
        "calls.v1": ["trial"],
        "windows.v1": ["segment"],
        "labels.v1": ["label"],
        "escalations.v1": ["relay"],
        "deadletters.v1": ["segment", "label", "escalate"],
    }
    assert ACLS["topics"] == {"manage": [topic.name for topic in topics.TOPICS]}


@pytest.mark.needs("helm")
def test_strimzi_s_users_may_what_the_table_says_and_nothing_more(render: Render) -> None:
    users = of_kind(render("strimzi-values.yaml"), "KafkaUser")
    assert set(users) == {f"site-undertone-{component}" for component in ACLS}
    for component, may in ACLS.items():
        given = users[f"site-undertone-{component}"]["spec"]["authorization"]["acls"]
        assert all(acl["resource"]["patternType"] == "literal" for acl in given)
        assert sorted(map(_short, given)) == sorted(_wanted(may))


def _short(acl: Mapping[str, Any]) -> tuple[str, str, str]:
    return acl["resource"]["type"], acl["resource"]["name"], ",".join(acl["operations"])


def _wanted(may: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (OPERATIONS[word]["resource"], name, ",".join(OPERATIONS[word]["operations"]))
        for word, names in may.items()
        for name in names
    ]


@pytest.mark.needs("helm")
def test_each_pod_uses_the_secret_of_its_own_strimzi_user(render: Render) -> None:
    users = of_kind(render("strimzi-values.yaml"), "KafkaUser")
    for found in pods(render("strimzi-values.yaml")):
        if "UNDERTONE_KAFKA" in found.env:
            name = found.env["UNDERTONE_KAFKA_USERNAME"]
            assert name == f"site-undertone-{found.component}"
            assert name in users
            assert name in json.dumps(found.spec["volumes"])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.get("alert") or rule["record"]))
def test_a_rule_names_only_metrics_labels_and_values_that_there_are(rule: dict[str, Any]) -> None:
    recorded = set(RECORDED.findall(rule["expr"]))
    assert recorded <= RECORDS
    assert list(faults(rule["expr"])) == (["no metric"] if recorded else [])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.get("alert") or rule["record"]))
def test_no_site_hides_another_on_the_same_prometheus(rule: dict[str, Any]) -> None:
    grouped = re.findall(r"\b(sum|min|max|group|count|avg)\b(?: by \(([^)]*)\))?", rule["expr"])
    grouped += re.findall(r"\b(on) \(([^)]*)\)", rule["expr"])
    assert all("namespace" in labels.split(", ") for _, labels in grouped)


def test_every_recorded_series_is_used() -> None:
    assert {name for rule in ALERTS for name in RECORDED.findall(rule["expr"])} == RECORDS


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
def test_every_alert_has_a_severity_and_its_heading_in_the_runbook(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["runbook"] == f"ops/runbook.md#{rule['alert'].lower()}"
    assert f"\n## {rule['alert']}\n" in RUNBOOK.read_text()


def test_the_runbook_has_no_heading_without_an_alert_and_no_metric_that_there_is_not() -> None:
    text = RUNBOOK.read_text()
    assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == [rule["alert"] for rule in ALERTS]
    named = {name for name in METRIC.findall(text) if not name.startswith("undertone_status")}
    assert named <= exposed().keys() | {metric.exposed for metric in CATALOGUE}


def test_the_runbook_names_only_values_that_there_are() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for path in re.findall(r"`((?:stages|inference|networkPolicy|keda|topics)\.[\w.]+)`", RUNBOOK.read_text()):
        part: Any = values
        for name in path.replace("COMPONENT", "segment").split("."):
            part = part[name]


@pytest.mark.needs("helm")
@pytest.mark.parametrize("name", ["site-undertone", "undertone"])
def test_the_runbook_names_objects_as_the_chart_does(name: str, render: Render) -> None:
    documents = render("watched-values.yaml", "--set", f"fullnameOverride={name}")
    named = re.findall(r"\b(deploy/|scaledobject )([\w-]+)", RUNBOOK.read_text())
    assert len(named) > 5
    for kind, each in named:
        there = of_kind(documents, {"deploy/": "Deployment", "scaledobject ": "ScaledObject"}[kind])
        assert each.replace("FULL", name).replace("COMPONENT", "label") in there


@pytest.mark.needs("helm")
def test_keda_asks_for_a_metric_that_the_stage_has(render: Render) -> None:
    for scaled in of_kind(render("watched-values.yaml"), "ScaledObject").values():
        (trigger,) = scaled["spec"]["triggers"]
        query = trigger["metadata"]["query"]
        assert set(METRIC.findall(query)) <= exposed().keys()
        assert f'service="{_metrics(render)}"' in query


def _metrics(render: Render) -> str:
    (name,) = [name for name in of_kind(render(), "Service") if name.endswith("-metrics")]
    return name
