"""What the field's own tools say of the chart, the rules and the images."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from deployment.conftest import CHART, CI, template

ROOT = CHART.parents[1]
DOCKERFILES = sorted(file.name for file in (ROOT / "ops" / "docker").glob("*.Dockerfile"))
RULES_TESTS = sorted(file.name for file in (ROOT / "ops" / "rules").glob("*_test.yaml"))
COPIED = re.compile(r"^COPY (?!--from)(.+) (\S+)$", re.MULTILINE)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.needs("helm")
@pytest.mark.parametrize("file", CI)
def test_helm_finds_nothing_to_blame(file: str) -> None:
    ended = run("helm", "lint", "--strict", "--quiet", str(CHART), "-f", str(CHART / "ci" / file))
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.needs("helm")
def test_notes_say_how_to_see_it_work_and_how_to_publish_a_first_call(tmp_path: Path) -> None:
    """They are printed at an install alone, which needs a cluster: here they are rendered as an object."""
    chart = tmp_path / "undertone"
    shutil.copytree(CHART, chart)
    notes = (chart / "templates" / "NOTES.txt").read_text()
    (chart / "templates" / "notes.yaml").write_text(
        '{{- define "notes" }}' + notes + '{{ end }}notes: {{ include "notes" . | toJson }}'
    )
    values = str(CHART / "ci" / "default-values.yaml")
    ended = run("helm", "template", "site", str(chart), "-n", "calls", "-f", values, "-s", "templates/notes.yaml")
    text = yaml.safe_load(ended.stdout)["notes"]
    assert "helm test site --namespace calls" in text
    assert "undertone publish call.wav --channels agent,customer --notice greeting --consent consent" in text
    assert "MUST NOT score real customers" in text


@pytest.mark.needs("helm", "checkov")
def test_no_policy_is_broken_but_those_that_are_waived_with_a_reason(tmp_path: Path) -> None:
    for file in CI:
        (tmp_path / file).write_text(template(file).stdout)
    waived = yaml.safe_load((CHART / "waivers.yaml").read_text())
    command = ["checkov", "--directory", str(tmp_path), "--framework", "kubernetes", "--output", "json", "--compact"]
    found = json.loads(run(*command, "--skip-download", "--quiet").stdout)
    broken = {(each["check_id"], each["resource"].partition(".")[0]) for each in found["results"]["failed_checks"]}
    assert broken == {(policy, kind) for policy, waiver in waived.items() for kind in waiver["kinds"]}
    assert found["summary"]["parsing_errors"] == 0
    assert found["summary"]["resource_count"] > 100


@pytest.mark.needs("promtool")
def test_the_rules_are_rules() -> None:
    ended = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", str(CHART / "files" / "rules.yaml"))
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("file", RULES_TESTS)
def test_each_alert_fires_when_it_should_and_only_then(file: str) -> None:
    ended = run("promtool", "test", "rules", str(ROOT / "ops" / "rules" / file))
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_alert_is_tested_for_firing_and_for_not_firing() -> None:
    tests = [
        test for file in RULES_TESTS for test in yaml.safe_load((ROOT / "ops" / "rules" / file).read_text())["tests"]
    ]
    asked = [each for test in tests for each in test["promql_expr_test"]]
    groups = yaml.safe_load((CHART / "files" / "rules.yaml").read_text())["groups"]
    alerts = [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]
    for alert in alerts:
        named = [each for each in asked if f'alertname="{alert}"' in each["expr"]]
        assert {bool(each["exp_samples"]) for each in named} == {True, False}, alert


@pytest.mark.needs("hadolint")
@pytest.mark.parametrize("file", DOCKERFILES)
def test_the_image_s_recipe_is_clean(file: str) -> None:
    ended = run("hadolint", f"ops/docker/{file}")
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("file", DOCKERFILES)
def test_an_image_runs_as_the_chart_s_user_and_downloads_nothing_by_itself(file: str) -> None:
    text = (ROOT / "ops" / "docker" / file).read_text()
    last = text[text.rindex("\nFROM") :]
    assert "USER 10001:10001" in last
    assert "HF_HUB_DISABLE_TELEMETRY=1" in last
    assert text.count("\nFROM") == 4


@pytest.mark.parametrize("file", DOCKERFILES)
def test_everything_that_an_image_copies_is_there_and_sent_to_the_builder(file: str) -> None:
    text = (ROOT / "ops" / "docker" / file).read_text()
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    names = [name for sources, _ in COPIED.findall(text) for name in sources.split()]
    assert names
    for name in names:
        assert (ROOT / name).exists()
        assert f"!{name}" in sent


@pytest.mark.parametrize(
    ("file", "command", "said"),
    [
        ("streams.Dockerfile", ("-m", "streams", "segment"), "UNDERTONE_TYPO: nothing reads it"),
        ("streams.Dockerfile", ("-m", "services.cli", "trial"), "UNDERTONE_TYPO: nothing reads it"),
        ("streams.Dockerfile", ("-m", "services.cli", "topics", "apply"), "UNDERTONE_TYPO: nothing reads it"),
        ("streams.Dockerfile", ("-m", "alembic", "upgrade", "head"), "UNDERTONE_TYPO: nothing reads it"),
        ("inference.Dockerfile", ("-m", "services.inference.fetch"), "usage: python -m services.inference.fetch"),
        ("inference.Dockerfile", ("-m", "services.inference"), "must not score real customers"),
    ],
)
def test_what_an_image_copies_is_all_that_its_commands_need(
    file: str, command: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    for sources, _ in COPIED.findall((ROOT / "ops" / "docker" / file).read_text()):
        for name in sources.split():
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, tmp_path / name)
    env = {"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"], "UNDERTONE_TYPO": "x"}
    ended = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert said in ended.stderr
