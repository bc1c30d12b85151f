"""The whole stream on this machine, with a misbehaving network between its workers and everything that they use.

Every stage runs as two processes, on sides `a` and `b`, which reach Kafka, PostgreSQL and inference by proxies of their
own. The publisher and the checker go round the proxies. Where security is on, side `a` logs in to Kafka by password
and side `b` by certificate, each stage as a user of its own.
"""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import aiohttp
import psycopg
from aiokafka.errors import KafkaError
from pydantic import SecretStr

from ops.chaos.proxy import Proxy, proxying
from ops.secured import acls, broker
from ops.secured.keys import ADMIN, Keys, Mechanism
from services.standalone import kafka, postgres
from services.standalone.errors import StandaloneError
from services.standalone.kafka import Listener
from services.standalone.places import free_port
from services.standalone.processes import Program
from services.standalone.supervisor import Incident, Supervisor
from streams.kafka.admin import apply_topics, partitions_of
from streams.settings import Settings
from streams.store.epochs import create_epochs
from streams.store.migrate import migrate
from streams.topics import CALLS, TOPICS

SIDES = ("a", "b")
STAGES = ("segment", "label", "escalate", "relay")
SERVERS = ("kafka", "postgres", "inference")
PARTITIONS = 4
MECHANISMS: Mapping[str, Mechanism] = {"a": "SASL_SSL", "b": "SSL"}  #: of the sides, where security is on
ROOT = Path(__file__).parents[2]
LOOK_S = 0.1
READY_S = 120.0
#: So that a record's time is when the broker had it, not when its sender took it up.
LOGS_TIME = {"message.timestamp.type": "LogAppendTime"}
#: A deferred trigger fires at the commit, so a label row's time is that, and one that was deleted since is known too.
NOTE_COMMITS = """
    CREATE TABLE committed (call text, window_id text, at timestamptz);
    CREATE FUNCTION note_commit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO committed VALUES (NEW.call, NEW.window_id, clock_timestamp()); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER note_commit AFTER INSERT ON labels DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION note_commit();
"""
ONE_CORE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(slots=True)
class Site:
    """A running stream, and every handle to break it by."""

    folder: Path
    settings: Settings  #: round the proxies
    publishing: Settings  #: the same for whoever publishes
    sides: Mapping[str, Settings]  #: through them
    proxies: Mapping[str, Proxy]  #: "kafka-a"
    supervisor: Supervisor = field(repr=False)
    incidents: list[Incident]
    listeners: Sequence[Listener] = ()  #: of the broker: its own, and one a side
    keys: Keys | None = None  #: by which everybody proves who he is, where security is on
    workers: tuple[str, ...] = ()  #: "segment-a"
    controls: tuple[str, ...] = ()  #: programs that run beside the stream, to be compared with it
    probes: dict[str, str] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict, repr=False)

    def process(self, name: str) -> subprocess.Popen[bytes] | None:
        """The program's process, where it runs."""
        process = self.supervisor.process(name)
        return process if process is not None and process.poll() is None else None

    def signal(self, name: str, number: signal.Signals) -> bool:
        """Send a signal to the program; False where it is not running."""
        process = self.process(name)
        if process is not None:
            process.send_signal(number)
        return process is not None

    def proxied(self, server: str, sides: Sequence[str] = SIDES) -> list[Proxy]:
        """The proxies before a server, of these sides."""
        return [self.proxies[f"{server}-{side}"] for side in sides]

    def keep(self, program: Program) -> None:
        """Start the program, and start it again whenever it ends."""
        self.programs[program.name] = program
        self.supervisor.add(program)

    async def fresh(self) -> None:
        """Start what was ever started again anew, so that no back-off of one run reaches into the next."""
        again = [name for name, count in self.supervisor.restarts.items() if count]
        self.supervisor.stop(again)
        for name in again:
            self.supervisor.add(self.programs[name])
        await self.serving()
        await self.ready()

    async def serving(self) -> None:
        """Return once Kafka and PostgreSQL answer; StandaloneError where they do not."""
        for name, answers in (("Kafka", self._kafka_answers), ("PostgreSQL", self._postgres_answers)):
            deadline = time.monotonic() + READY_S
            while not await answers():
                if time.monotonic() > deadline:
                    raise StandaloneError(f"{name} does not answer; see its log under {self.folder}")
                await asyncio.sleep(LOOK_S)

    async def _kafka_answers(self) -> bool:
        try:
            return await partitions_of(self.settings, CALLS.name) > 0
        except (KafkaError, OSError):
            return False

    async def _postgres_answers(self) -> bool:
        try:
            connected = await psycopg.AsyncConnection.connect(
                self.settings.postgres.get_secret_value(), connect_timeout=2
            )
        except psycopg.OperationalError:
            return False
        await connected.close()
        return True

    def told(self, user: str, side: str) -> dict[str, str]:
        """What a process is told that reaches everything by the proxies of a side, as this user of Kafka's."""
        told = _environment(self.sides[side])
        return told if self.keys is None else told | self.keys.told(user, MECHANISMS[side])

    def heal(self) -> None:
        """Undo every toxic, and let every stopped process go on."""
        for proxy in self.proxies.values():
            proxy.heal()
        for name in (*self.workers, *SERVERS):
            self.signal(name, signal.SIGCONT)

    async def ready(self) -> None:
        """Return once every worker says that it is; StandaloneError where one never is."""
        deadline = time.monotonic() + READY_S
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as client:
            for name, url in self.probes.items():
                while not await says_ok(client, url):
                    if time.monotonic() > deadline:
                        raise StandaloneError(f"{name} is not ready; see {self.folder}/logs/{name}.log")
                    await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def running_site(
    folder: Path,
    *,
    seed: int = 0,
    sides: Mapping[str, Sequence[str]] | None = None,
    real_bundle: bool = False,
    secured: bool = False,
) -> AsyncIterator[Site]:
    """Start everything with its state under `folder`. `sides` names the sides that a stage runs on: both, usually.

    Inference is the oracle's scorer, or the real service with the demo bundle. `secured`: Kafka asks everybody who he
    is and allows what the chart's table does. Call it in the main thread.
    """
    folder = folder.resolve()
    incidents: list[Incident] = []
    supervisor = Supervisor(incidents.append)
    async with AsyncExitStack() as ending:
        ending.callback(supervisor.stop)
        keys = Keys(folder / "keys", acls.table()) if secured else None
        site = await _servers(folder, supervisor, incidents, ending, Random(seed), keys=keys)
        _inference(site, real=real_bundle)
        for stage in STAGES:
            for side in (sides or {}).get(stage, SIDES):
                add_worker(site, f"{stage}-{side}", ("streams", stage))
        ending.callback(lambda: supervisor.stop((*site.workers, "inference"), grace_s=5))
        ending.callback(site.heal)
        watching = asyncio.create_task(_look(supervisor))
        ending.callback(watching.cancel)
        await site.ready()
        yield site


def add_worker(site: Site, name: str, module: tuple[str, ...], environment: Mapping[str, str] | None = None) -> None:
    """Start a worker of the stream on the side that its name ends in; with `environment`, another program."""
    given = dict(environment or {})
    alive = None
    if environment is None:
        port, alive = free_port(), site.folder / "alive" / name
        alive.parent.mkdir(exist_ok=True)
        given = {"UNDERTONE_METRICS_PORT": str(port), "UNDERTONE_LIVENESS": str(alive)}
        site.probes[name] = f"http://127.0.0.1:{port}/ready"
    stage, _, side = name.rpartition("-")
    told = site.told(stage, side) | ONE_CORE | given
    argv = (sys.executable, "-m", *module)
    log = site.folder / "logs" / f"{name}.log"
    site.keep(Program(name, argv, log=log, env=told, liveness=alive, folder=ROOT))
    if environment is None:
        site.workers = (*site.workers, name)


async def _servers(
    folder: Path,
    supervisor: Supervisor,
    incidents: list[Incident],
    ending: AsyncExitStack,
    random: Random,
    *,
    keys: Keys | None,
) -> Site:
    """PostgreSQL and Kafka with schema and topics, and proxies before all three servers."""
    ports = {name: free_port() for name in (*SERVERS, *(f"{server}-{side}" for server in SERVERS for side in SIDES))}
    protocols = MECHANISMS if keys else dict.fromkeys(SIDES, "PLAINTEXT")
    listeners = {
        side: Listener(f"SIDE_{side}", free_port(), protocols[side], advertised=ports[f"kafka-{side}"])
        for side in SIDES
    }
    programs: dict[str, Program] = {}
    programs["postgres"], url = await _postgres(folder, supervisor, ports["postgres"])
    programs["kafka"] = await _kafka(folder, supervisor, ports["kafka"], list(listeners.values()), keys)
    proxies = {}
    for server in SERVERS:
        for side in SIDES:
            target = listeners[side].port if server == "kafka" else ports[server]
            proxy = Proxy(target, Random(random.random()))
            proxies[f"{server}-{side}"] = await ending.enter_async_context(proxying(proxy, ports[f"{server}-{side}"]))
    plain = _settings(folder, url, ports, "")
    if keys is not None:
        await asyncio.to_thread(_let_in, plain.kafka, keys)
    logged = [replace(topic, config=topic.config | LOGS_TIME) for topic in TOPICS]
    await apply_topics(_as_user(plain, keys, "topics"), logged)
    settings, publishing = _as_user(plain, keys, ADMIN), _as_user(plain, keys, "publisher")
    sides = {side: _settings(folder, url, ports, f"-{side}") for side in SIDES}
    site = Site(folder, settings, publishing, sides, proxies, supervisor, incidents, programs=programs)
    site.listeners, site.keys = (Listener("BROKER", ports["kafka"]), *listeners.values()), keys
    return site


def _let_in(bootstrap: str, keys: Keys) -> None:
    broker.let_in(broker.admin(keys, bootstrap), keys, acls.table())


def _as_user(settings: Settings, keys: Keys | None, user: str) -> Settings:
    """The settings with what proves who one is; as they are where nobody asks."""
    return settings if keys is None else Settings.read(_environment(settings) | keys.told(user, "SSL"))


async def _postgres(folder: Path, supervisor: Supervisor, port: int) -> tuple[Program, str]:
    """A server that is durable as in production: what it said it committed survives kill -9."""
    program = await asyncio.to_thread(postgres.server, folder / "postgres", port)
    supervisor.add(program)
    url, process = postgres.address(folder / "postgres", port), supervisor.process("postgres")
    if process is None:
        raise StandaloneError("PostgreSQL did not start")
    await asyncio.to_thread(postgres.wait_until_ready, program, process, url)
    url = await asyncio.to_thread(postgres.create_database, url, "undertone")
    await asyncio.to_thread(migrate, url)
    with psycopg.connect(url) as connected:
        connected.execute(NOTE_COMMITS)
    return program, url


async def _kafka(
    folder: Path, supervisor: Supervisor, port: int, listeners: Sequence[Listener], keys: Keys | None
) -> Program:
    more = broker.security(keys, listeners) if keys else {}
    protocol = "SSL" if keys else "PLAINTEXT"
    program = await asyncio.to_thread(
        kafka.broker, folder / "kafka", port, protocol=protocol, listeners=listeners, more=more
    )
    supervisor.add(program)
    process = supervisor.process("kafka")
    if process is None:
        raise StandaloneError("Kafka did not start")
    await asyncio.to_thread(kafka.wait_until_ready, program, process)
    return program


def _settings(folder: Path, url: str, ports: Mapping[str, int], side: str) -> Settings:
    epochs = folder / "epochs.json"
    if not epochs.exists():
        create_epochs(epochs, datetime.now(UTC) - timedelta(minutes=5))
    address = url.replace(f":{ports['postgres']}/", f":{ports[f'postgres{side}']}/")
    return Settings(
        kafka=f"127.0.0.1:{ports[f'kafka{side}']}",
        postgres=SecretStr(address),
        inference=f"http://127.0.0.1:{ports[f'inference{side}']}",
        epochs=epochs,
        partitions=PARTITIONS,
    )


def _environment(settings: Settings) -> dict[str, str]:
    return {
        "UNDERTONE_KAFKA": settings.kafka,
        "UNDERTONE_POSTGRES": settings.postgres.get_secret_value(),
        "UNDERTONE_INFERENCE": settings.inference,
        "UNDERTONE_EPOCHS": str(settings.epochs),
        "UNDERTONE_PARTITIONS": str(settings.partitions),
    }


def _inference(site: Site, *, real: bool) -> None:
    port = site.settings.inference.rpartition(":")[2]
    command = ("services.inference",) if real else ("ops.chaos.scorer", port)
    told = {"UNDERTONE_INFERENCE_PORT": port, "UNDERTONE_INFERENCE_ALLOW_DEMO_BUNDLE": "true"} | ONE_CORE
    argv = (sys.executable, "-m", *command)
    log = site.folder / "logs" / "inference.log"
    site.keep(Program("inference", argv, log=log, env=told, folder=ROOT))
    site.probes["inference"] = f"{site.settings.inference}/v2/health/ready"


async def _look(supervisor: Supervisor) -> None:
    while True:
        supervisor.look()
        await asyncio.sleep(LOOK_S)


async def says_ok(client: aiohttp.ClientSession, url: str) -> bool:
    """Whether a probe answers 200."""
    try:
        async with client.get(url) as response:
            return response.ok
    except (aiohttp.ClientError, TimeoutError):
        return False
