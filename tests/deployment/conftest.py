"""The chart, rendered by helm as it would be installed."""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).parents[2] / "helm" / "undertone"
CI = sorted(file.name for file in (CHART / "ci").iterdir())
LEAST = "default-values.yaml"  #: says the least that must be said
NAMESPACE = "calls"

Document = Mapping[str, Any]
Rendered = tuple[Document, ...]
Render = Callable[..., Rendered]


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that some object of the chart makes."""

    component: str
    made_by: Document
    metadata: Mapping[str, Any]
    spec: Mapping[str, Any]

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def container(self) -> Mapping[str, Any]:
        (only,) = self.spec["containers"]
        assert isinstance(only, Mapping)
        return only

    @property
    def env(self) -> dict[str, str]:
        return {each["name"]: each["value"] for each in self.container["env"]}


def template(values: str = LEAST, *more: str) -> subprocess.CompletedProcess[str]:
    """What helm says; `more` are arguments such as --set."""
    command = [
        "helm",
        "template",
        "site",
        str(CHART),
        "--namespace",
        NAMESPACE,
        "-f",
        str(CHART / "ci" / values),
        *more,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@cache
def _rendered(*arguments: str) -> Rendered:
    ended = template(*arguments)
    assert ended.returncode == 0, ended.stderr
    return tuple(document for document in yaml.safe_load_all(ended.stdout) if document)


@pytest.fixture(scope="session")
def render() -> Render:
    """Renders a file of `ci/`, with more arguments of helm's; never twice the same."""

    def run(values: str = LEAST, *more: str) -> Rendered:
        return _rendered(values, *more)

    return run


@pytest.fixture
def refused() -> Callable[..., str]:
    """What helm says as it refuses."""

    def run(*more: str, values: str = LEAST) -> str:
        ended = template(values, *more)
        assert ended.returncode != 0
        return ended.stderr

    return run


def of_kind(documents: Rendered, kind: str) -> dict[str, Document]:
    """Objects by name."""
    return {each["metadata"]["name"]: each for each in documents if each["kind"] == kind}


def pods(documents: Rendered) -> Iterator[Pod]:
    """Every pod that would run, those of hooks included."""
    for each in documents:
        template = each if each["kind"] == "Pod" else each.get("spec", {}).get("template", {})
        if "containers" in template.get("spec", {}):
            component = template["metadata"]["labels"]["app.kubernetes.io/component"]
            yield Pod(component, each, template["metadata"], template["spec"])


def pod(documents: Rendered, component: str) -> Pod:
    """The pod of one component."""
    (found,) = [each for each in pods(documents) if each.component == component]
    return found
