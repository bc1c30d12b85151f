"""What each of the three roles may do, walked in full: role by table by action, and what a grant too wide opens."""

import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from integration.store.installed import README, Installed, install, remove
from integration.store.rights import ROLES, ROWS, does, fill, verbs, what_it_does, what_it_may
from psycopg import errors
from psycopg.conninfo import make_conninfo

from services import cli
from services.standalone.postgres import binaries
from streams.store.access import ACCESS, REVISION
from streams.store.audit import length, pages, tell_head
from streams.store.calls import PostgresCalls
from streams.store.database import Database, StoreError
from streams.store.migrate import MigrationError, migrate
from streams.store.status import store_status
from streams.store.tables import metadata

CALL = "ab" * 32


@pytest.fixture(scope="module")
def installed(bare_server: str) -> Iterator[Installed]:
    """A database with three roles and a row in every table."""
    found = install(bare_server)
    migrate(found.migrate)
    fill(bare_server)
    yield found
    remove(bare_server)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_do_to_each_table_what_is_said_and_nothing_else(role: str, installed: Installed) -> None:
    with psycopg.connect(getattr(installed, role)) as connection:
        assert what_it_does(connection) == what_it_may(role)


def test_every_table_is_named_and_has_its_rows_closed_to_its_owner_too(installed: Installed) -> None:
    open_rows = """
        SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
        AND NOT (relrowsecurity AND relforcerowsecurity)
    """
    assert ACCESS.keys() == {*metadata.tables, REVISION}
    with psycopg.connect(installed.read) as connection:
        assert connection.execute(open_rows.encode()).fetchall() == [(REVISION,)]


def test_the_chart_s_readme_has_the_same_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (SELECT.*?) \| ?(.*?) ?\|$", README.read_text(), re.MULTILINE)
    ours = [(table, ", ".join(write), ", ".join(read)) for table, (write, read) in ACCESS.items()]
    assert rows == ours


@pytest.mark.parametrize(
    ("role", "refused"),
    [
        ("read", "SELECT state FROM call_state"),
        ("read", "SELECT escalation FROM outbox"),
        ("read", "SELECT call FROM outbox"),
        ("read", "SELECT nextval('audit_id_seq')"),
        ("write", "SELECT call, detail FROM audit"),
        ("write", "INSERT INTO audit (at, action, actor) VALUES (now(), 'a', 'b')"),
        ("write", "SELECT setval('audit_id_seq', 1)"),
        ("write", "CREATE TABLE ours (id int)"),
        ("write", "CREATE TEMPORARY TABLE audit (id int)"),
        ("write", "ALTER FUNCTION chain_audit() RESET search_path"),
        ("write", "ALTER TABLE audit DISABLE TRIGGER chain"),
        ("write", "SET ROLE undertone_migrate"),
        ("write", "SET session_replication_role = replica"),
        ("read", "SET ROLE undertone_write"),
    ],
)
def test_what_would_lead_around_a_role_is_refused(role: str, refused: str, installed: Installed) -> None:
    with psycopg.connect(getattr(installed, role)) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(refused.encode())


def test_a_grant_too_wide_opens_no_row_and_the_next_migration_takes_it_away(
    installed: Installed, bare_server: str
) -> None:
    every = [(action, table) for table in ACCESS if table != REVISION for action in sorted(ROWS)]
    with psycopg.connect(installed.migrate) as owner:
        owner.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC, undertone_write, undertone_read")
    for role in ("write", "read"):
        with psycopg.connect(getattr(installed, role)) as connection:
            found = {each: does(connection, *each) for each in every}
        assert found == {(action, table): action in verbs(role, table) for action, table in every}
    with psycopg.connect(make_conninfo(bare_server, dbname="undertone")) as superuser:
        superuser.execute("CREATE ROLE stranger")
        superuser.execute("SET LOCAL ROLE stranger")
        with pytest.raises(errors.InsufficientPrivilege, match="row-level security: stranger may not"):
            superuser.execute("SELECT count(*) FROM escalations")
        superuser.rollback()

    migrate(installed.migrate)
    with psycopg.connect(installed.read) as connection:
        assert not does(connection, "TRUNCATE", "erasures")
        with pytest.raises(errors.InsufficientPrivilege, match="permission denied"):
            connection.execute("SELECT state FROM call_state")


def test_a_table_of_a_later_release_is_out_of_reach_until_it_is_named(installed: Installed) -> None:
    with psycopg.connect(installed.migrate, autocommit=True) as owner:
        owner.execute("CREATE TABLE later (id int)")
        for role in ("write", "read"):
            with psycopg.connect(getattr(installed, role)) as connection, pytest.raises(errors.InsufficientPrivilege):
                connection.execute("SELECT FROM later")
        owner.execute("DROP TABLE later")


def test_a_member_of_both_roles_makes_a_whole_backup(installed: Installed, bare_server: str) -> None:
    with psycopg.connect(bare_server, autocommit=True) as superuser:
        made = "CREATE ROLE keeper LOGIN PASSWORD 'not-a-secret' IN ROLE undertone_write, undertone_read"
        superuser.execute(made.encode())
        keeper = make_conninfo(installed.read, user="keeper")
        command = [binaries() / "pg_dump", "--enable-row-security", "--data-only", keeper]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        superuser.execute("DROP ROLE keeper")
    copied = re.findall(r"^COPY public\.(\w+) .*\n(?!\\\.)", said, re.MULTILINE)
    assert set(copied) == ACCESS.keys()


def test_a_revision_changes_rows_once_it_has_said_so(installed: Installed) -> None:
    with psycopg.connect(installed.migrate) as owner:
        owner.execute("ALTER TABLE labels NO FORCE ROW LEVEL SECURITY")
        assert owner.execute("UPDATE labels SET reason = 'back-filled'").rowcount == 1
        owner.execute("ALTER TABLE labels FORCE ROW LEVEL SECURITY")
        owner.rollback()


def test_whoever_does_not_own_the_tables_is_told_in_one_line_that_he_may_not_migrate(installed: Installed) -> None:
    for address in (installed.write, installed.read):
        with pytest.raises(MigrationError, match="cannot migrate the database: permission denied") as refusal:
            migrate(address)
        assert "\n" not in str(refusal.value)


def test_a_migration_that_has_nothing_to_do_waits_for_no_stage(installed: Installed) -> None:
    with psycopg.connect(installed.migrate) as held:
        for table in metadata.tables:
            held.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE".encode())  # as of a stage that writes
        migrate(installed.migrate)


def test_no_temporary_table_comes_between_a_row_of_the_trail_and_the_one_before_it(
    installed: Installed, bare_server: str
) -> None:
    with psycopg.connect(make_conninfo(bare_server, dbname="undertone")) as anybody:
        anybody.execute("SET search_path = pg_temp, public")
        last = anybody.execute("SELECT hash FROM public.audit ORDER BY id DESC LIMIT 1").fetchone()
        anybody.execute("CREATE TEMPORARY TABLE audit (id bigint, hash text)")
        said = "INSERT INTO public.audit (action, actor) VALUES ('a', 'b') RETURNING previous"
        assert anybody.execute(said.encode()).fetchone() == last
        anybody.rollback()


@pytest.fixture
async def roles(installed: Installed) -> AsyncIterator[dict[str, Database]]:
    found = {role: Database(getattr(installed, role), application="test") for role in ROLES}
    yield found
    for database in found.values():
        await database.close()


async def test_a_stage_with_the_owner_s_login_stops_and_takes_no_call_for_unknown(roles: dict[str, Database]) -> None:
    assert (await PostgresCalls(roles["write"]).load([CALL])).keys() == {CALL}
    with pytest.raises(StoreError, match="42501 row-level security: undertone_migrate may not"):
        await PostgresCalls(roles["migrate"]).load([CALL])


def test_a_writer_s_plans_know_nothing_of_policies(installed: Installed) -> None:
    with psycopg.connect(installed.write) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = connection.execute("EXPLAIN SELECT FROM calls WHERE call = 'x' AND use_case = 'y'").fetchall()
    assert len(plan) == 3  # the scan, its condition, and one filter
    assert "Index Scan using pk_calls" in str(plan)
    assert "refuse_row" not in str(plan)


async def test_a_reader_withdraws_nothing_and_is_told_so(roles: dict[str, Database]) -> None:
    with pytest.raises(StoreError, match="42501 permission denied for table call_state"):
        await PostgresCalls(roles["read"]).withdraw(CALL, partition=0, next_offset=2, at=datetime.now(UTC))


async def test_the_reader_sees_how_the_stream_is_and_the_whole_trail(roles: dict[str, Database]) -> None:
    status = await store_status(roles["read"])
    assert (status.calls, status.open_calls, status.escalations, status.unsent) == (1, 1, 1, 1)
    assert await length(roles["read"]) == len([row async for page in pages(roles["read"]) for row in page]) == 1


async def test_the_relay_logs_the_trail_s_head_by_what_the_writer_sees(
    roles: dict[str, Database], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "streams.store")
    await tell_head(roles["write"])
    assert [record.getMessage()[:22] for record in caplog.records] == ["the audit trail's head"]


def test_the_trail_is_verified_by_the_reader_s_login(
    installed: Installed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNDERTONE_POSTGRES", installed.read)
    assert cli.run(["audit", "verify"]) == 0
