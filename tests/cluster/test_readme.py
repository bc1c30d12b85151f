"""The chart's README, followed word for word on a real API server: its commands are taken out of it and run.

Hooks end as the test says, since no node is there; all else is the server's and helm's own.
"""

import re
import subprocess
from pathlib import Path

import pytest
from cluster.conftest import ROOT, Namespace
from cluster.controllers import hooks_end
from deployment.conftest import CHART

pytestmark = pytest.mark.needs("kube-apiserver", "etcd", "kubectl", "helm", "bash")

README = (CHART / "README.md").read_text()
SECRETS = {f"Secret/{name}" for name in re.findall(r"create secret generic ([\w-]+)", README)}


def section(title: str) -> str:
    return re.split(r"^## ", README.partition(f"\n## {title}\n")[2], flags=re.MULTILINE)[0]


def listing(title: str) -> str:
    """The section's commands for a shell."""
    (found,) = re.findall(r"^```sh\n(.*?)^```", section(title), re.DOTALL | re.MULTILINE)
    return str(found)


def commands(title: str) -> list[str]:
    """The whole commands in the section's sentences; `helm upgrade` by itself is a name."""
    return [each for each in re.findall(r"`((?:helm|kubectl) [^`]+)`", section(title)) if len(each.split()) > 2]


@pytest.fixture
def calls(server: Path) -> Namespace:
    """The namespace that the README names; it has to make it."""
    return Namespace("calls", server)


def follow(text: str, calls: Namespace, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run commands as somebody in the repository's root does, less what they write there."""
    if not (folder / "helm").exists():
        (folder / "helm").symlink_to(ROOT / "helm")
    command = ["bash", "-euo", "pipefail", "-c", text]
    return subprocess.run(command, cwd=folder, env=calls.env, capture_output=True, text=True, check=False)


def left(namespace: Namespace) -> set[str]:
    return namespace.objects().keys() - {"ServiceAccount/default"}


def test_the_readme_installs_tries_upgrades_and_uninstalls(calls: Namespace, tmp_path: Path) -> None:
    with hooks_end(calls) as ended:
        done = follow(listing("Install"), calls, tmp_path)
        assert ended == ["migrate", "topics", "trial"]
        assert done.returncode == 0, done.stderr
        assert re.search(r"^Phase: +Succeeded$", done.stdout, re.MULTILINE)
        again = listing("Install").partition("helm install")[2].partition("helm test")[0]
        done = follow(f"helm upgrade {again}", calls, tmp_path)
        assert done.returncode == 0, done.stderr
        assert ended[3:] == ["migrate", "topics"]
        restart = listing("New passwords and certificates")
        assert follow(restart, calls, tmp_path).stdout.count(" restarted\n") == 5
        uninstall, _ = commands("Uninstall")
        done = follow(uninstall, calls, tmp_path)
        assert done.returncode == 0, done.stderr
    assert left(calls) == SECRETS


@pytest.mark.parametrize("failing", ["topics", "trial"])
def test_what_a_failed_hook_leaves_goes_by_the_command_of_the_readme(
    failing: str, namespace: Namespace, tmp_path: Path
) -> None:
    tried = listing("Install").partition("helm install")
    with hooks_end(namespace, failing):
        done = follow("".join(tried[1:]).replace("calls", namespace.name), namespace, tmp_path)
        assert done.returncode != 0
        uninstall, clear = (each.replace("calls", namespace.name) for each in commands("Uninstall"))
        assert follow(uninstall, namespace, tmp_path).returncode == 0
        assert any(name.endswith(f"/undertone-{failing}") for name in left(namespace))
        done = follow(clear, namespace, tmp_path)
        assert done.returncode == 0, done.stderr
    assert left(namespace) == set()
