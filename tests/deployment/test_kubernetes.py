"""Every object that is rendered, held against the schemas of several versions of Kubernetes."""

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from deployment.conftest import CHART, CI, Document, Render
from kubernetes_validate import utils

pytestmark = pytest.mark.needs("helm")

VERSIONS = ("1.27", "1.31", "1.34", "1.37")  #: the oldest that the chart allows, to the newest
#: Of operators: their schemas are not Kubernetes' own. Strimzi's are had by tests/cluster alone.
CUSTOM = {"keda.sh/v1alpha1", "monitoring.coreos.com/v1", "kafka.strimzi.io/v1"}
CHECK = Path(__file__).with_name("operators") / "check.mjs"


@pytest.fixture(scope="module", autouse=True)
def _schemas_are_read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "schema_contents", cache(utils.schema_contents))
        yield


@pytest.fixture(scope="module")
def documents(render: Render) -> list[Document]:
    """Every different object of every example."""
    found = {json.dumps(each, sort_keys=True): each for each in chain.from_iterable(map(render, CI))}
    return [each for each in found.values() if each["apiVersion"] not in CUSTOM]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_one_that_this_version_takes(version: str, documents: list[Document]) -> None:
    assert len(documents) > 50
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)


def test_a_field_that_there_is_not_would_be_found(documents: list[Document]) -> None:
    deployment = next(each for each in documents if each["kind"] == "Deployment")
    wrong = json.loads(json.dumps(deployment).replace('"minReadySeconds"', '"minReadySecond"'))
    with pytest.raises(kubernetes_validate.ValidationError, match="minReadySecond"):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def checked(documents: Sequence[Document]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["node", str(CHECK)], input=json.dumps(documents), capture_output=True, text=True, check=False
    )


@pytest.mark.needs("node", "operators")
def test_keda_and_prometheus_operator_take_what_is_made_for_them(render: Render) -> None:
    theirs = [each for each in render("watched-values.yaml") if each["apiVersion"] in CUSTOM]
    ended = checked(theirs)
    assert ended.stdout == "5 objects\n", ended.stderr
    for wrong in ('"pollingInterval": "often"', '"interval": 15', '"alert": 7'):
        name = wrong.partition(":")[0]
        broken = json.loads(re.sub(name + r": (\d+|\"[^\"]*\")", wrong, json.dumps(theirs), count=1))
        assert "ValidationError" in checked(broken).stderr


def test_the_oldest_version_is_the_one_that_the_chart_asks_for() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"] == f">={VERSIONS[0]}.0-0"
