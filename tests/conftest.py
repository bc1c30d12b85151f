"""Real Kafka and PostgreSQL, started when the first test asks, and the list of what was not run."""

import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings
from psycopg.conninfo import make_conninfo

from services.standalone.kafka import kafka as running_kafka
from services.standalone.postgres import create_database
from services.standalone.postgres import postgres as running_postgres
from streams.store.access import READ, WRITE
from streams.store.migrate import migrate

os.environ["TRITON_INTERPRET"] = "1"  # before anything imports it: kernels of a GPU are run by its interpreter
ROOT = Path(__file__).parents[1]
DEBIANS = Path("/usr/lib/postgresql")  #: each version's own folder, which is not on PATH
RECORDINGS = ROOT.parent / "shared" / "data"
settings.register_profile("untimed", deadline=None)  # no test times anything
settings.load_profile("untimed")

_NOT_RUN = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap address of one real broker, the same for the whole run: name topics and groups uniquely."""
    with running_kafka(tmp_path_factory.mktemp("kafka")) as bootstrap:
        yield bootstrap


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real server's maintenance database, the same for the whole run; the roles of a site are made."""
    with running_postgres(tmp_path_factory.mktemp("postgres"), durable=False) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            for role in (WRITE, READ):
                connection.execute(f"CREATE ROLE {role}".encode())
        yield url


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[str]:
    """Address of an empty database of this test's own."""
    yield from _database(postgres_server, template=None)


@pytest.fixture
def migrated(postgres_server: str, migrated_template: str) -> Iterator[str]:
    """Address of a database of this test's own with every migration applied."""
    yield from _database(postgres_server, template=migrated_template)


@pytest.fixture(scope="session")
def migrated_template(postgres_server: str) -> str:
    """Name of the database that `migrated` copies; its tables belong to a role of their own, as a site's should."""
    url = create_database(postgres_server, "migrated")
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("CREATE ROLE test_owner LOGIN PASSWORD 'not-a-secret'")
        connection.execute("ALTER DATABASE migrated OWNER TO test_owner")
    migrate(make_conninfo(url, user="test_owner", password="not-a-secret"))  # noqa: S106
    return "migrated"


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recordings beside the checkout; its tests are marked `needs("recordings")`."""
    return RECORDINGS


def _database(server: str, *, template: str | None) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    yield create_database(server, name, template=template)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.stash[_NOT_RUN] = []
    if not config.option.basetemp:
        # Under root PostgreSQL runs as nobody; every start of pytest shuts the folder that runs share to others.
        config.option.basetemp = tempfile.mkdtemp(prefix="undertone-tests-")
        config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out the tests whose `needs` are not met; they are listed when the run ends."""
    kept = []
    for item in items:
        needs = [what for mark in item.iter_markers("needs") for what in mark.args]
        if lacking := sorted({what for what in needs if not _is_here(what)}):
            config.stash[_NOT_RUN].append(f"not run: {', '.join(lacking)} ({item.nodeid})")
        else:
            kept.append(item)
    items[:] = kept


def _skipped(config: pytest.Config) -> list[str]:
    """Tests, or whole files, that left themselves out."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reports = reporter.stats.get("skipped", []) if reporter else []
    return [f"not run: {str(report.longrepr[-1]).removeprefix('Skipped: ')} ({report.nodeid})" for report in reports]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash[_NOT_RUN]:
        terminalreporter.write_line(line, yellow=True)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where all is required, a run that left a test out has failed, whichever way it was left out."""
    session.config.stash[_NOT_RUN] += _skipped(session.config)
    required = os.environ.get("UNDERTONE_REQUIRE_ALL") == "1"
    if required and session.config.stash[_NOT_RUN] and exitstatus in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _is_here(what: str) -> bool:
    """Whether the recordings, the operating system, an npm folder, the package or the tool of this name are there."""
    folders = {
        "recordings": RECORDINGS,
        "asyncapi": ROOT / "ops/docs/asyncapi/node_modules",
        "operators": ROOT / "tests/deployment/operators/node_modules",
    }
    if what in folders:
        return folders[what].is_dir()
    if what == "postgresql":
        return any(DEBIANS.glob("*/bin/postgres"))
    if what == "pyannote.audio":
        return find_spec(what) is not None
    return sys.platform == what or shutil.which(what) is not None
