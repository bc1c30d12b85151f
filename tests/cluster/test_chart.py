"""Every example of the chart on a real API server: installed, its pods admitted, removed without a trace."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from cluster.conftest import RELEASE, Namespace, install, pod_object, rendered, uninstall, values
from deployment.conftest import CHART, CI, LEAST, Document, of_kind, pod, pods

pytestmark = pytest.mark.needs("kube-apiserver", "etcd", "kubectl", "helm")


@dataclass(frozen=True, slots=True)
class Installed:
    """A release that stands, and all that the chart would make there: hooks and tests too."""

    namespace: Namespace
    documents: tuple[Document, ...]


@pytest.fixture(scope="module", params=CI)
def installed(request: pytest.FixtureRequest, new_namespace: Callable[[], Namespace]) -> Iterator[Installed]:
    namespace = new_namespace()
    install(namespace, CHART, values(request.param))
    yield Installed(namespace, rendered(namespace, values(request.param)))
    uninstall(namespace)


def is_hook(made_by: Document) -> bool:
    return "helm.sh/hook" in made_by["metadata"].get("annotations", {})


def test_the_server_holds_every_object_that_is_no_hook(installed: Installed) -> None:
    made = {f"{each['kind']}/{each['metadata']['name']}" for each in installed.documents if not is_hook(each)}
    assert made <= installed.namespace.objects().keys()


def test_the_server_knows_every_field_of_every_object(installed: Installed) -> None:
    command = ("kubectl", "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict")
    said = installed.namespace.told(*command, "--filename=-", given=installed.documents)
    assert len(said.splitlines()) == len(installed.documents) > 7


def test_every_pod_is_admitted(installed: Installed) -> None:
    made = [pod_object(pod.metadata, pod.spec) for pod in pods(installed.documents)]
    assert len(made) >= 6
    for dry in (True, False):
        ended = installed.namespace.create(*made, dry=dry)
        assert ended.returncode == 0, ended.stderr
    there = Counter(
        each["metadata"]["labels"]["app.kubernetes.io/component"] for each in installed.namespace.listed("pods")
    )
    assert there == Counter(pod.component for pod in pods(installed.documents))
    installed.namespace.told("kubectl", "delete", "pods", "--all", "--wait=false")


@pytest.mark.parametrize(
    "more",
    [
        {"hostNetwork": True},
        {"securityContext": {}},
        {"volumes": [{"name": name, "hostPath": {"path": "/"}} for name in ("tmp", "secrets")]},
        {"containers": [{"name": "label", "image": "undertone-streams"}]},
    ],
)
def test_a_pod_that_might_do_more_would_be_refused(more: Mapping[str, Any], namespace: Namespace) -> None:
    label = pod(rendered(namespace, values(LEAST)), "label")
    spec = {**label.spec, "serviceAccountName": "default"}
    assert namespace.create(pod_object(label.metadata, spec), dry=True).returncode == 0
    refused = namespace.create(pod_object(label.metadata, {**spec, **more}), dry=True)
    assert 'violates PodSecurity "restricted:latest"' in refused.stderr


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("Service", LEAST),
        ("KafkaTopic", "strimzi-values.yaml"),
        ("KafkaUser", "strimzi-values.yaml"),
        ("ScaledObject", "watched-values.yaml"),
        ("ServiceMonitor", "watched-values.yaml"),
        ("PrometheusRule", "watched-values.yaml"),
    ],
)
def test_a_field_that_there_is_not_would_be_refused(kind: str, file: str, namespace: Namespace) -> None:
    right = next(iter(of_kind(rendered(namespace, values(file)), kind).values()))
    assert namespace.create(right, dry=True).returncode == 0
    wrong = {**right, "spec": {**right["spec"], "unheardOf": {}}}
    assert 'unknown field "spec.unheardOf"' in namespace.create(wrong, dry=True).stderr


def test_a_typo_is_refused_and_changes_nothing(namespace: Namespace) -> None:
    wrong = (RELEASE, str(CHART), values(LEAST), "--set=kafka.bootsrap=kafka:9092")
    said = "additional properties 'bootsrap' not allowed"
    before = namespace.objects()
    assert said in namespace.ask("helm", "install", *wrong).stderr
    assert namespace.objects() == before
    install(namespace, CHART, values(LEAST))
    before = namespace.objects()
    assert said in namespace.ask("helm", "upgrade", *wrong).stderr
    assert namespace.objects() == before


@pytest.mark.parametrize("file", CI)
def test_nothing_is_left_behind(file: str, namespace: Namespace) -> None:
    before = namespace.objects().keys()
    install(namespace, CHART, values(file))
    assert len(namespace.objects()) > len(before) + 6
    uninstall(namespace)
    assert namespace.objects().keys() == before
