"""The whole stream on one machine: PostgreSQL, Kafka, the inference service and the workers, under one supervisor."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import aiohttp
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.inference.settings import InferenceSettings
from services.standalone import environment, kafka, postgres
from services.standalone.errors import StandaloneError
from services.standalone.places import free_port, locked
from services.standalone.processes import Program, last_lines
from services.standalone.supervisor import Incident, Supervisor
from streams import usecases
from streams.kafka.admin import apply_topics
from streams.metrics import Metrics
from streams.probes import serving
from streams.settings import Settings
from streams.store.epochs import create_epochs
from streams.store.migrate import migrate

WORKERS = ("segment", "label", "escalate", "relay")
INFERENCE = "inference"
INFERENCE_PORT = 8000
METRICS_PORT = 9101  #: of the supervisor; each worker takes a later one
LOOK_S = 0.2
READY_S = 120.0
GIVE_UP = 3  #: failures of one program before the stack was ever ready


@dataclass(slots=True)
class Stack:
    """A running stack."""

    folder: Path
    settings: Settings  #: with which any client of the stream reaches it
    probes: Mapping[str, str]  #: program -> address that says 200 when it is ready
    metrics: str  #: address of the supervisor's own metrics
    supervisor: Supervisor = field(repr=False)

    @property
    def restarts(self) -> dict[str, int]:
        """How often each program was started again."""
        return self.supervisor.restarts


@asynccontextmanager
async def running_stack(
    folder: Path,
    *,
    demo_bundle: bool,
    partitions: int = 6,
    workers: tuple[str, ...] = WORKERS,
    given: Mapping[str, str] = MappingProxyType({}),
    told: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[Stack]:
    """Start everything with its state under `folder`, and stop it at the end of the block.

    Call it in the main thread. `demo_bundle` lets the inference service serve a bundle that is fit for
    demonstrations only. `given` are settings beside the stack's own, as environment variables; none are inherited.
    `told` hears what happens, a line at a time. Raises StandaloneError where the stack cannot start, at once where
    another one runs in the folder; SettingsError or UseCaseError before anything does.
    """
    allowed = {"UNDERTONE_INFERENCE_ALLOW_DEMO_BUNDLE": "true"} if demo_bundle else {}
    chosen = _checked(given).model_copy(update={"partitions": partitions})
    with ExitStack() as ending:
        folder = ending.enter_context(_claimed(folder))
        metrics = Metrics(CollectorRegistry())
        incidents = Incidents(metrics, told)
        supervisor = Supervisor(incidents.hear)
        ending.callback(supervisor.stop)
        settings = await _start_servers(chosen, folder, supervisor, told)
        ending.callback(lambda: supervisor.stop((*workers, INFERENCE)))  # before the servers that they use
        probes = _start_programs(folder, supervisor, settings, workers, given={**given, **allowed})
        port = free_port(METRICS_PORT)
        ending.enter_context(serving(metrics.registry, "127.0.0.1", port, live=lambda: True, ready=lambda: True))
        watching = asyncio.create_task(_watch(supervisor))
        ending.callback(watching.cancel)
        await _until_ready(probes, incidents, folder)
        address = f"http://127.0.0.1:{port}/metrics"
        told(f"ready; metrics of the supervisor on {address}")
        incidents.starting = False
        yield Stack(folder, settings, probes, address, supervisor)


def _checked(given: Mapping[str, str]) -> Settings:
    """The settings that these variables name, seen to be ones that every program can use."""
    InferenceSettings.read(given)
    settings = Settings.read(given)
    usecases.load(settings.use_cases)
    return settings


@contextmanager
def _claimed(folder: Path) -> Iterator[Path]:
    """The folder as an absolute path, ours alone while the block runs."""
    folder = folder.resolve()
    refusal = f"{folder}: another stack is running in this folder. Stop it, or name another one with --folder."
    with locked(folder / "lock", wait=False, refusal=refusal):
        yield folder


class Incidents:
    """Counts and tells what went wrong, and remembers it while the stack starts."""

    def __init__(self, metrics: Metrics, told: Callable[[str], None]) -> None:
        self._metrics, self._told = metrics, told
        self.starting = True
        self.heard: list[Incident] = []

    def hear(self, incident: Incident) -> None:
        """Take in one incident."""
        self._metrics.count("restarts", program=incident.program)
        if self.starting:  # where it never gets ready, the last line is the error
            self.heard.append(incident)
            return
        lines = "".join(f"\n    {line}" for line in incident.log)
        self._told(f"{incident.program} {incident.reason}; it is started again. The end of its log:{lines}")

    def hopeless(self) -> Incident | None:
        """The incident that shows that the stack will never be ready."""
        names = [incident.program for incident in self.heard]
        for incident in self.heard:
            if names.count(incident.program) >= GIVE_UP:
                return incident
        return None


async def _start_servers(
    chosen: Settings, folder: Path, supervisor: Supervisor, told: Callable[[str], None]
) -> Settings:
    """PostgreSQL and Kafka with the schema and the topics in them."""
    postgres_port, kafka_port = free_port(postgres.STANDARD_PORT), free_port(kafka.STANDARD_PORT)
    database = await asyncio.to_thread(postgres.server, folder / "postgres", postgres_port)
    broker = await asyncio.to_thread(kafka.broker, folder / "kafka", kafka_port)
    supervisor.add(database)
    supervisor.add(broker)
    url = postgres.address(folder / "postgres", postgres_port)
    await asyncio.to_thread(postgres.wait_until_ready, database, _process(supervisor, database), url)
    url = await asyncio.to_thread(postgres.create_database, url, "undertone")
    await asyncio.to_thread(migrate, url)
    told(f"PostgreSQL on 127.0.0.1:{postgres_port}")
    await asyncio.to_thread(kafka.wait_until_ready, broker, _process(supervisor, broker))
    settings = _settings(chosen, folder, url, f"127.0.0.1:{kafka_port}")
    await apply_topics(settings)
    told(f"Kafka on 127.0.0.1:{kafka_port}")
    return settings


def _settings(chosen: Settings, folder: Path, url: str, bootstrap: str) -> Settings:
    """What every client of this stack needs; also written to a file, for commands in other terminals."""
    epochs = folder / "epochs.json"
    if not epochs.exists():
        create_epochs(epochs, datetime.now(UTC))
    decided = {
        "kafka": bootstrap,
        "kafka_security": "PLAINTEXT",
        "postgres": SecretStr(url),
        "inference": f"http://127.0.0.1:{free_port(INFERENCE_PORT)}",
        "epochs": epochs,
    }
    settings = chosen.model_copy(update=decided)
    environment.leave(folder, environment.told(settings))
    return settings


def _start_programs(
    folder: Path,
    supervisor: Supervisor,
    settings: Settings,
    workers: tuple[str, ...],
    *,
    given: Mapping[str, str],
) -> dict[str, str]:
    """The inference service and the workers; the addresses that say when each is ready."""
    told = {**given, **environment.told(settings)}
    alive = folder / "alive"
    alive.mkdir(exist_ok=True)
    port = settings.inference.rpartition(":")[2]
    own = {"UNDERTONE_INFERENCE_PORT": port, "UNDERTONE_INFERENCE_LIVENESS": str(alive / INFERENCE)}
    supervisor.add(_program(folder, INFERENCE, told | own, alive / INFERENCE))
    probes = {INFERENCE: f"{settings.inference}/v2/health/ready"}
    for number, worker in enumerate(workers, start=1):
        metrics_port = free_port(METRICS_PORT + number)
        own = {"UNDERTONE_METRICS_PORT": str(metrics_port), "UNDERTONE_LIVENESS": str(alive / worker)}
        supervisor.add(_program(folder, worker, told | own, alive / worker))
        probes[worker] = f"http://127.0.0.1:{metrics_port}/ready"
    return probes


def _program(folder: Path, name: str, told: Mapping[str, str], alive: Path) -> Program:
    module = ("services.inference",) if name == INFERENCE else ("streams", name)
    log = folder / "logs" / f"{name}.log"
    log.unlink(missing_ok=True)
    one_core = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # the processes share the machine's cores
    return Program(name, (sys.executable, "-m", *module), log=log, env={**told, **one_core}, liveness=alive)


async def _watch(supervisor: Supervisor) -> None:
    while True:
        supervisor.look()
        await asyncio.sleep(LOOK_S)


async def _until_ready(probes: Mapping[str, str], incidents: Incidents, folder: Path) -> None:
    """Return once every program says that it is ready; raise StandaloneError where one never will be."""
    waiting = dict(probes)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as client:
        for _ in range(int(READY_S / LOOK_S)):
            waiting = {name: url for name, url in waiting.items() if not await _says_ok(client, url)}
            if not waiting:
                return
            if (incident := incidents.hopeless()) is not None:
                raise StandaloneError(f"{incident.program} does not start: {(incident.log or ('no log',))[-1]}")
            await asyncio.sleep(LOOK_S)
    name = next(iter(waiting))
    lines = "\n".join(last_lines(folder / "logs" / f"{name}.log"))
    raise StandaloneError(f"{name} is not ready after {READY_S:.0f} s; the end of its log:\n{lines}")


async def _says_ok(client: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with client.get(url) as response:
            return response.ok
    except (aiohttp.ClientError, TimeoutError):
        return False


def _process(supervisor: Supervisor, program: Program) -> subprocess.Popen[bytes]:
    process = supervisor.process(program.name)
    if process is None:
        raise StandaloneError(f"{program.name} did not start; see {program.log}")
    return process
