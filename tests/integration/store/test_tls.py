"""PostgreSQL with TLS alone, reached by the addresses and variables that the chart gives a pod.

On Debian's server: the one of the standalone stack is built without TLS.
"""

import asyncio
import logging
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from integration.store.installed import PASSWORD, Installed, install
from integration.store.rights import ROLES, fill, what_it_does, what_it_may
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr
from sqlalchemy import select

from services.commands import site
from services.commands.site import SiteError
from services.standalone.places import free_port
from services.standalone.postgres import _hand_over, _unprivileged, wait_until_ready
from services.standalone.processes import Program, running
from streams.settings import Settings
from streams.store.calls import PostgresCalls
from streams.store.database import Database
from streams.store.migrate import MigrationError, migrate
from streams.store.status import store_status

pytestmark = pytest.mark.needs("postgresql")

DEBIANS = Path("/usr/lib/postgresql")
HOST = "127.0.0.1"
CALL = "cd" * 32
SECURED = "listen_addresses = '{host}'\nport = {port}\nunix_socket_directories = ''\nfsync = off\nssl = on\n"
TLS_ALONE = "hostssl all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True, slots=True)
class Secured:
    """A server that speaks TLS alone: who trusts it, and the addresses of a database with three roles on it."""

    authority: Path
    stranger: Path  #: an authority that has signed nothing of the server's
    roles: Installed


def certify(certificate: Path, key: Path) -> None:
    """Write a certificate for `HOST` that signs itself, and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test server")]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    key.touch(mode=0o600)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def server(folder: Path, port: int) -> Program:
    """Debian's newest server, with its data under `folder`."""
    programs, data, user = max(DEBIANS.glob("*/bin")), folder / "data", _unprivileged()
    data.mkdir(mode=0o700)
    password = folder / "password"
    password.write_text(PASSWORD)
    if user is not None:
        _hand_over(user, data, password)
    made = (programs / "initdb", "-D", data, "-U", "super", f"--pwfile={password}", "--no-sync", "--encoding=UTF8")
    groups = None if user is None else []
    subprocess.run([*made, "--locale=C"], cwd=data, user=user, group=user, extra_groups=groups, check=True)
    certify(data / "server.crt", data / "server.key")
    (data / "pg_hba.conf").write_text(TLS_ALONE)
    with (data / "postgresql.conf").open("a") as conf:
        conf.write(SECURED.format(host=HOST, port=port))
    if user is not None:
        for file in ("server.crt", "server.key"):
            os.chown(data / file, user, user)
    argv = (str(programs / "postgres"), "-D", str(data))
    return Program("postgres", argv, log=folder / "log", user=user, stop_signal=signal.SIGINT, folder=data)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder, port = tmp_path_factory.mktemp("tls"), free_port()
    program = server(folder, port)
    authority, stranger = folder / "ca.crt", folder / "other.crt"
    authority.write_bytes((folder / "data" / "server.crt").read_bytes())
    certify(stranger, folder / "other.key")
    said = {"sslmode": "verify-full", "sslrootcert": str(authority)}
    url = make_conninfo(host=HOST, port=port, user="super", password=PASSWORD, dbname="postgres", **said)
    with running(program) as process:
        wait_until_ready(program, process, url)
        roles = install(url)
        migrate(roles.migrate)
        fill(url)
        yield Secured(authority, stranger, roles)


async def used(address: str) -> None:
    """What a command does first."""
    async with site.database(Settings(postgres=SecretStr(address)), "test") as database:
        await database.transaction(lambda connection: connection.execute(select(1)))


def test_every_role_is_on_tls(secured: Secured) -> None:
    asked = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    for address in astuple(secured.roles):
        with psycopg.connect(address) as connection:
            assert connection.execute(asked).fetchone() == (True, "TLSv1.3")


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_on_this_version_what_it_may_on_the_newest(role: str, secured: Secured) -> None:
    with psycopg.connect(getattr(secured.roles, role)) as connection:
        assert what_it_does(connection) == what_it_may(role)


async def test_what_the_writer_writes_the_reader_sees(secured: Secured) -> None:
    writer, reader = (Database(address, application="test") for address in (secured.roles.write, secured.roles.read))
    await PostgresCalls(writer).withdraw(CALL, partition=0, next_offset=1, at=datetime.now(UTC))
    assert (await store_status(reader)).tombstones == 1
    await writer.close()
    await reader.close()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sslmode": "disable"}, "no encryption"),
        ({"sslrootcert": "stranger"}, "certificate verify failed"),
        ({"sslrootcert": "nowhere.crt"}, 'root certificate file "nowhere.crt" does not exist'),
        ({"host": "localhost"}, 'does not match host name "localhost"'),
        ({"password": "wrong"}, "password authentication failed"),
    ],
)
def test_what_is_not_as_it_should_be_is_refused_in_one_line(
    changed: dict[str, str], said: str, secured: Secured
) -> None:
    if changed.get("sslrootcert") == "stranger":
        changed = {"sslrootcert": str(secured.stranger)}
    with pytest.raises(MigrationError, match=said) as migrating:
        migrate(make_conninfo(secured.roles.migrate, **changed))
    with pytest.raises(SiteError, match=said) as looking:
        asyncio.run(used(make_conninfo(secured.roles.read, **changed)))
    for refusal in (migrating, looking):
        assert "\n" not in str(refusal.value)
        assert PASSWORD not in str(refusal.value)


def test_a_pod_s_variables_ask_for_tls_where_the_address_says_nothing(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = psycopg.conninfo.conninfo_to_dict(secured.roles.read)
    plain = make_conninfo(**{name: value for name, value in given.items() if not name.startswith("ssl")})
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", str(secured.authority))
    asyncio.run(used(plain))
    monkeypatch.setenv("PGSSLROOTCERT", str(secured.stranger))
    with pytest.raises(SiteError, match="certificate verify failed"):
        asyncio.run(used(plain))


async def test_a_stage_that_does_not_know_the_server_waits_and_says_why(
    secured: Secured, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(
        make_conninfo(secured.roles.write, sslrootcert=str(secured.stranger)), application="test", connections=1
    )
    caplog.set_level(logging.WARNING, "streams.store")
    asking = asyncio.create_task(store_status(database))
    async with asyncio.timeout(30):
        while not database.waiting:
            await asyncio.sleep(0.02)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    said = caplog.records[0]
    assert "certificate verify failed" in said.__dict__["reason"]
    await database.close()
