"""One API server for the whole run, and namespaces on it that enforce Pod Security's `restricted`."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster.server import api_server
from deployment.conftest import CHART, Document

ROOT = CHART.parents[1]
DEFINITIONS = ROOT / ".cluster" / "definitions"
RELEASE = "site"
#: What the operator of a cluster has put there before.
GPU_CLASS = {
    "apiVersion": "node.k8s.io/v1",
    "kind": "RuntimeClass",
    "metadata": {"name": "nvidia"},
    "handler": "nvidia",
}


@dataclass(frozen=True)
class Namespace:
    """A namespace, as kubectl and helm see it."""

    name: str
    kubeconfig: Path

    @property
    def env(self) -> dict[str, str]:
        """Where kubectl and helm find the server and nothing of the person's own."""
        helm = {f"HELM_{what}_HOME": str(self.kubeconfig.with_name("helm")) for what in ("CACHE", "CONFIG", "DATA")}
        return {**os.environ, **helm, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.kubeconfig.parent)}

    def ask(self, *command: str, given: Sequence[Document] = ()) -> subprocess.CompletedProcess[str]:
        """What a command says, which may read documents."""
        return subprocess.run(
            [command[0], "--namespace", self.name, *command[1:]],
            input="\n---\n".join(map(json.dumps, given)),
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )

    def told(self, *command: str, given: Sequence[Document] = ()) -> str:
        """What a command says that must succeed."""
        ended = self.ask(*command, given=given)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def create(self, *documents: Document, dry: bool = False) -> subprocess.CompletedProcess[str]:
        """Create objects; the server refuses a field that there is not."""
        more = ["--dry-run=server"] if dry else []
        return self.ask("kubectl", "create", "--validate=strict", *more, "--filename=-", given=documents)

    def listed(self, *what: str) -> list[dict[str, Any]]:
        items = json.loads(self.told("kubectl", "get", *what, "--output=json"))["items"]
        assert isinstance(items, list)
        return items

    @cached_property
    def kinds(self) -> str:
        """Every kind of object that a namespace may hold, those of operators included; no events, which expire."""
        told = self.told("kubectl", "api-resources", "--namespaced", "--verbs=list", "--output=name")
        return ",".join(kind for kind in told.split() if not kind.startswith("events"))

    def objects(self) -> dict[str, dict[str, Any]]:
        """Everything that is in the namespace, by kind and name."""
        return {f"{each['kind']}/{each['metadata']['name']}": each for each in self.listed(self.kinds)}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Kubeconfig of a server that knows what the operators add."""
    with api_server(tmp_path_factory.mktemp("cluster")) as kubeconfig:
        everywhere = Namespace("default", kubeconfig)
        everywhere.told("kubectl", "create", "--filename", str(DEFINITIONS))
        everywhere.told("kubectl", "wait", "--for=condition=Established", "crd", "--all")
        assert everywhere.create(GPU_CLASS).returncode == 0
        yield kubeconfig


@pytest.fixture(scope="session")
def new_namespace(server: Path) -> Callable[[], Namespace]:
    """Makes a namespace that takes restricted pods alone."""
    numbers = count()

    def make() -> Namespace:
        namespace = Namespace(f"calls-{next(numbers)}", server)
        namespace.told("kubectl", "create", "namespace", namespace.name)
        namespace.told("kubectl", "label", "namespace", namespace.name, "pod-security.kubernetes.io/enforce=restricted")
        namespace.told("kubectl", "create", "serviceaccount", "default")  # as Kubernetes' controller does
        return namespace

    return make


@pytest.fixture
def namespace(new_namespace: Callable[[], Namespace]) -> Namespace:
    return new_namespace()


def values(file: str, chart: Path = CHART) -> str:
    """Helm's argument for an example of a chart's."""
    return f"--values={chart / 'ci' / file}"


def pod_object(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> Document:
    """A pod as a controller makes it from a template."""
    metadata = {**metadata, "generateName": "made-"}
    metadata.pop("name", None)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def rendered(namespace: Namespace, *more: str) -> tuple[Document, ...]:
    text = namespace.told("helm", "template", RELEASE, str(CHART), *more)
    return tuple(document for document in yaml.safe_load_all(text) if document)


def install(namespace: Namespace, chart: Path, *more: str) -> None:
    """Without hooks, which are jobs: nothing here runs them."""
    namespace.told("helm", "install", RELEASE, str(chart), "--no-hooks", *more)


def uninstall(namespace: Namespace) -> None:
    namespace.told("helm", "uninstall", RELEASE, "--no-hooks")
