"""The chart upgraded from what was before it, and rolled back, on a real API server."""

import io
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cluster.conftest import RELEASE, ROOT, Namespace, install, uninstall, values
from deployment.conftest import CHART

pytestmark = pytest.mark.needs("kube-apiserver", "etcd", "kubectl", "helm")


def _git(*command: str) -> bytes:
    return subprocess.run(["git", "-C", str(ROOT), *command], stdout=subprocess.PIPE, check=False).stdout


def previous() -> list[tuple[str, str]]:
    """Revisions that may have been installed before, each with the examples of its chart; none without history.

    The last release; as long as there is none, the first chart that there was, and the last that was different.
    """
    if shutil.which("git") is None:
        return []
    parts = [f"helm/undertone/{part}" for part in ("Chart.yaml", "templates", "values.yaml", "values.schema.json")]
    older = _git("log", "--format=%h", "--", *parts).decode().split()[1:]
    released = _git("tag", "--list", "v*", "--sort=-version:refname").decode().split()
    return [
        (revision, Path(file).name)
        for revision in released[:1] or dict.fromkeys((*older[-1:], *older[:1]))
        for file in _git("ls-tree", "--name-only", revision, "helm/undertone/ci/").decode().split()
    ]


def chart_of(revision: str, folder: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO(_git("archive", revision, "helm/undertone"))) as archive:
        archive.extractall(folder, filter="data")
    return folder / "helm" / "undertone"


def said_by_chart(objects: Mapping[str, Mapping[str, Any]]) -> dict[str, object]:
    """Objects without what the server and helm note down of their own."""
    ours = {name: each for name, each in objects.items() if each.get("type") != "helm.sh/release.v1"}
    return {name: _said(each) for name, each in ours.items()}


def _said(part: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(part, list):
        return [_said(each) for each in part]
    if not isinstance(part, Mapping):
        return part
    theirs = {"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "status"}
    return {name: _said(each) for name, each in part.items() if name not in theirs | {"clusterIP", "clusterIPs"}}


@pytest.mark.parametrize(("revision", "file"), previous())
def test_an_upgrade_ends_where_an_install_does(revision: str, file: str, namespace: Namespace, tmp_path: Path) -> None:
    before = chart_of(revision, tmp_path)
    install(namespace, before, values(file, before))
    old = said_by_chart(namespace.objects())
    namespace.told("helm", "upgrade", RELEASE, str(CHART), "--no-hooks", values(file, before))
    upgraded = said_by_chart(namespace.objects())
    namespace.told("helm", "rollback", RELEASE, "--no-hooks")
    assert said_by_chart(namespace.objects()) == old
    uninstall(namespace)
    install(namespace, CHART, values(file, before))
    assert said_by_chart(namespace.objects()) == upgraded
