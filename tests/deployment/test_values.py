"""values.yaml and its schema: a typo fails at install, and the schema is not a second set of rules."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from deployment.conftest import CHART, CI
from jsonschema import Draft7Validator

from streams.usecases import _File

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
#: What Helm or Kubernetes let anybody put names into; their values have a type all the same.
FREE = {"global"}


def objects(schema: object, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every part of a schema that describes an object."""
    if isinstance(schema, Mapping):
        if schema.get("type") == "object":
            yield path, schema
        for name, part in schema.items():
            yield from objects(part, f"{path}/{name}")
    elif isinstance(schema, list):
        for part in schema:
            yield from objects(part, path)


def test_the_schema_is_closed_at_every_level() -> None:
    Draft7Validator.check_schema(SCHEMA)
    found = dict(objects(SCHEMA))
    assert len(found) > 50
    for path, part in found.items():
        if path.rpartition("/")[2] in FREE:
            continue
        more = part.get("additionalProperties")
        assert more is False or ("properties" not in part and isinstance(more, Mapping)), path


def test_every_value_is_in_the_schema_and_every_property_among_the_values() -> None:
    assert list(Draft7Validator(SCHEMA).iter_errors(VALUES)) == []
    assert set(SCHEMA["properties"]) - FREE == set(VALUES)


@pytest.mark.parametrize("file", CI)
def test_every_example_fits_the_schema(file: str) -> None:
    values = yaml.safe_load((CHART / "ci" / file).read_text())
    assert list(Draft7Validator(SCHEMA).iter_errors(values)) == []


def _closed(part: Any) -> Any:  # noqa: ANN401 - a schema
    """A schema as msgspec has it, closed, and without what is written for people."""
    if isinstance(part, list):
        return [_closed(each) for each in part]
    if not isinstance(part, Mapping):
        return part.replace("_File", "UseCase") if isinstance(part, str) else part
    kept = {name: _closed(each) for name, each in part.items() if name not in {"title", "description"}}
    if kept.get("required") == []:
        del kept["required"]
    return kept | ({"additionalProperties": False} if "properties" in kept else {})


def test_a_use_case_is_described_as_the_code_reads_it() -> None:
    ours = _closed(json.loads(msgspec.json.encode(msgspec.json.schema(_File)))["$defs"])
    ours["UseCase"] = ours.pop("_File")
    del ours["UseCase"]["properties"]["name"]  # the key that it stands under
    ours["UseCase"]["required"].remove("name")
    assert {name: SCHEMA["$defs"][name] for name in ours} == ours


@pytest.mark.needs("helm")
@pytest.mark.parametrize(
    "typo",
    [
        "kafka.bootsrap",
        "stages.segment.replica",
        "stages.segment.resources.limit",
        "networkPolicy.enable",
        "useCases.demo.rulez",
        "inference.bundle.download.sha",
    ],
)
def test_a_typo_fails_at_install(typo: str, refused: Callable[..., str]) -> None:
    where, _, name = typo.rpartition(".")
    assert f"/{where.replace('.', '/')}': additional properties '{name}' not allowed" in refused("--set", f"{typo}=1")


@pytest.mark.needs("helm")
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("kafka.bootstrap=", "kafka.bootstrap: name your brokers"),
        ("kafka.secret=", "kafka.secret, or kafka.users.trial.secret: name the Secret"),
        ("postgres.secret=", "postgres.secret: name the Secret"),
        ("epochs.secret=", "epochs.secret: name the Secret"),
        ("inference.bundle.source=", "inference.bundle.source: say where the model comes from"),
        ("inference.bundle.source=claim", "inference.bundle.claim.name: name the PersistentVolumeClaim"),
        ("inference.bundle.source=download", "inference.bundle.download.url: name the archive"),
        (
            "strimzi.topics.enabled=true,strimzi.cluster=main",
            "topics.enabled and strimzi.topics.enabled: both would make the topics",
        ),
        ("strimzi.users.enabled=true", "strimzi.cluster: name the Kafka resource"),
        ("keda.enabled=true,keda.maxReplicas=7", "keda.maxReplicas: 7 pods, but topics.partitions is 6"),
        ("keda.enabled=true,topics.partitions=1", "keda.minReplicas: 2 pods, but no more than 1"),
        (
            "serviceMonitor.enabled=true",
            "serviceMonitor.enabled: networkPolicy.prometheus.from lets nobody read metrics",
        ),
        ("terminationGracePeriodSeconds=20", "terminationGracePeriodSeconds"),
        ("retentionDays=7", "retentionDays"),
        ("kafka.security=TLS", "kafka"),
        ("kafka.bootstrap=broker", "bootstrap"),
    ],
)
def test_what_cannot_work_is_refused_with_the_value_to_mend(value: str, said: str, refused: Callable[..., str]) -> None:
    assert said in refused("--set", value)


@pytest.mark.needs("helm")
def test_a_trial_by_a_use_case_that_is_not_installed_is_refused(refused: Callable[..., str]) -> None:
    said = refused("--set", "trial.useCase=demo", values="download-values.yaml")
    assert "trial.useCase: useCases has no demo; name one of support" in said


def test_every_value_is_told_what_it_is() -> None:
    """By a comment above it or above a value that it is part of; once where components have the same values."""
    keys = dict(_keys((CHART / "values.yaml").read_text().splitlines()))
    told = {path for path, above in keys.items() if above.startswith("# --")}
    alike = {path.rpartition(".")[2] for path in told}
    groups = {path for path in keys if any(other.startswith(f"{path}.") for other in keys)}
    for path in keys.keys() - told - groups:
        part_of = any(path.startswith(f"{other}.") for other in told)
        same = path.startswith(("stages.", "jobs.", "inference.")) and not alike.isdisjoint(path.split(".")[1:])
        assert part_of or same or path.startswith("kafka.users."), path


def _keys(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Each key's path, and the first line of the comment above it."""
    path: list[str] = []
    comment = ""
    for line in map(str.rstrip, lines):
        if line.lstrip().startswith("#"):
            comment = comment or line.strip()
            continue
        key, colon, _ = line.strip().partition(":")
        if colon and not key.startswith("-"):
            path = [*path[: (len(line) - len(line.lstrip())) // 2], key]
            yield ".".join(path), comment
        comment = ""


def test_the_chart_names_the_project_s_version() -> None:
    project = (CHART.parents[1] / "pyproject.toml").read_text()
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert f'version = "{version}"' in project
    assert Path(CHART / "README.md").is_file()
