"""The site that a command works on: its settings, and its servers where they answer."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from hashlib import sha256
from pathlib import Path

import psycopg
from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError
from psycopg.conninfo import conninfo_to_dict

from services.standalone.environment import HERE, left
from streams.settings import Settings
from streams.store.database import Database

FOLDER = "UNDERTONE_FOLDER"
ANSWER_S = 5


class SiteError(ValueError):
    """A server does not answer or cannot be used. Names the setting that names it."""


def settings(folder: Path | None = None) -> Settings:
    """Settings from the environment; where it names no server, those of the stack in the folder.

    The folder is the one given, else that of UNDERTONE_FOLDER, in which a stack must have run, else `.undertone` here.
    Never a mixture: one site's database must not meet another's broker.
    """
    given = Settings.read(os.environ)
    if _names_a_server(given):
        return given
    return Settings.read((_named() if folder is None else left(folder)) | os.environ)


def kept(name: str) -> Path:
    """Where commands keep a file from one run to the next: in the folder in which they look for a stack.

    Of a database that is not a stack's own it has the address in its name: never a mixture here either.
    """
    folder, given = Path(os.environ.get(FOLDER, HERE)), Settings.read(os.environ)
    if left(folder) and not _names_a_server(given):
        return folder / name
    said = conninfo_to_dict(given.postgres.get_secret_value())
    address = "\n".join(
        f"{key}={said[key]}" for key in ("host", "hostaddr", "port", "dbname", "service") if key in said
    )
    return folder / f"{name}-{sha256(address.encode()).hexdigest()[:16]}"


def _names_a_server(given: Settings) -> bool:
    return bool(given.model_fields_set & {"kafka", "postgres"})


def _named() -> dict[str, str]:
    folder = os.environ.get(FOLDER)
    if folder is None:
        return left(HERE)
    if found := left(Path(folder)):
        return found
    raise SiteError(f"{FOLDER}: no stack has run in {folder}; correct it, or start one there with `undertone up`")


@contextmanager
def kafka(chosen: Settings) -> Iterator[None]:
    """Say which setting to mend where the broker does not answer or refuses."""
    try:
        yield
    except (KafkaConnectionError, NodeNotReadyError, TimeoutError):
        raise SiteError(
            f"Kafka does not answer on {chosen.kafka}: {_start('UNDERTONE_KAFKA, UNDERTONE_KAFKA_SECURITY')}"
        ) from None
    except KafkaError as error:
        raise SiteError(f"Kafka on {chosen.kafka} refuses: {type(error).__name__}; see UNDERTONE_KAFKA_*") from None


@asynccontextmanager
async def database(chosen: Settings, command: str) -> AsyncIterator[Database]:
    """PostgreSQL, seen to answer: the stages would wait for it in place, a person should be told."""
    address = chosen.postgres.get_secret_value()
    await _see(address)
    opened = Database(address, application=command, connections=1)
    try:
        yield opened
    finally:
        await opened.close()


async def _see(address: str) -> None:
    try:
        async with await psycopg.AsyncConnection.connect(address, connect_timeout=ANSWER_S) as connection:
            found = await (await connection.execute("SELECT to_regclass('call_state')")).fetchone()
    except psycopg.OperationalError as error:
        said = (str(error).strip().splitlines() or ["no answer"])[0]
        raise SiteError(f"PostgreSQL: {said}: {_start('UNDERTONE_POSTGRES')}") from None
    if found is None or found[0] is None:
        raise SiteError("PostgreSQL has no tables of Undertone's: run `alembic upgrade head`")


def _start(names: str) -> str:
    return f"start it (`undertone up`), or correct {names}"
