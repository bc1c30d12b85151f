"""How the roles come to be: made by an administrator, by the migration, or later; stages of the last release go on."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from alembic import command
from integration.store.installed import PASSWORD, Installed, administrator, install, remove, statements
from psycopg.conninfo import make_conninfo

from streams.store.calls import PostgresCalls
from streams.store.database import Database
from streams.store.migrate import alembic_config, migrate

CALL = "ab" * 32
MEMBERS = """
    SELECT DISTINCT member::regrole::text FROM pg_auth_members WHERE roleid = 'undertone_write'::regrole
    AND (NOT admin_option OR pg_has_role(member, roleid, 'USAGE')) ORDER BY 1
"""
SECURED = "SELECT count(*) FROM pg_class WHERE relrowsecurity AND relforcerowsecurity"


@pytest.fixture
def site(bare_server: str) -> Iterator[str]:
    """Address of an empty database whose owner, `undertone_migrate`, does everything, as an administrator gave it."""
    chief = administrator(bare_server)
    login = f"CREATE ROLE undertone_migrate LOGIN PASSWORD '{PASSWORD}'"
    run(chief, login, "GRANT undertone_migrate TO CURRENT_USER", "CREATE DATABASE undertone OWNER undertone_migrate")
    yield make_conninfo(bare_server, user="undertone_migrate", password=PASSWORD, dbname="undertone")
    remove(bare_server)


def run(address: str, *statements: str) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def asked(address: str, query: str) -> list[object]:
    with psycopg.connect(address) as connection:
        return [row[0] for row in connection.execute(query.encode())]


def withdraws(address: str) -> None:
    """What a stage does that only a writer may."""

    async def work() -> None:
        database = Database(address, application="test")
        await PostgresCalls(database).withdraw(CALL, partition=0, next_offset=1, at=datetime.now(UTC))
        assert [stored.closed for stored in (await PostgresCalls(database).load([CALL])).values()] == [True]
        await database.close()

    asyncio.run(work())


def test_where_the_roles_may_not_be_made_one_line_says_what_to_run_and_one_role_does_everything(
    site: str, bare_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    migrate(site)
    (said,) = [record.getMessage() for record in caplog.records if record.name == "migrations"]
    assert "\n" not in said
    assert "an administrator runs: CREATE ROLE undertone_write NOLOGIN; CREATE ROLE undertone_read NOLOGIN;" in said
    assert asked(site, SECURED) == [0]
    withdraws(site)

    told = said.partition("runs: ")[2].rpartition(" then")[0]
    run(administrator(bare_server), *filter(None, told.split(";")), "GRANT undertone_write TO undertone_migrate")
    migrate(site)
    assert len([record for record in caplog.records if record.name == "migrations"]) == 1
    assert asked(site, SECURED) == [9]
    withdraws(site)


def test_where_the_roles_are_made_stages_of_the_last_release_go_on_as_owner_or_as_another(
    site: str, bare_server: str
) -> None:
    other = f"CREATE ROLE undertone_writer LOGIN PASSWORD '{PASSWORD}'"
    run(bare_server, "ALTER ROLE undertone_migrate CREATEROLE", other)
    migrate(site, "0007")
    writes = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO undertone_writer"
    run(site, writes, "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO undertone_writer")

    migrate(site)

    assert asked(site, SECURED) == [9]
    assert asked(site, MEMBERS) == ["undertone_migrate", "undertone_writer"]
    withdraws(make_conninfo(site, user="undertone_writer"))
    withdraws(site)


def test_an_installation_of_one_role_is_parted_into_three_while_it_runs(site: str, bare_server: str) -> None:
    chief = administrator(bare_server)
    migrate(site, "0007")
    lacking = [each for each in statements() if each.startswith("CREATE ROLE") and "undertone_migrate" not in each]
    run(chief, *lacking, "GRANT undertone_write TO undertone_migrate")

    migrate(site)

    withdraws(site)
    run(chief, "REVOKE undertone_write FROM undertone_migrate")
    withdraws(make_conninfo(site, user="undertone_writer"))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        asked(site, "SELECT call FROM call_state")


def test_down_and_up_again_leaves_nothing_of_the_roles_and_then_all_of_it(bare_server: str) -> None:
    try:
        found: Installed = install(bare_server)
        migrate(found.migrate)
        command.downgrade(alembic_config(found.migrate), "0007")
        left = """
            SELECT relname FROM pg_class WHERE relacl::text LIKE '%undertone_write%' OR relrowsecurity
            UNION SELECT polname FROM pg_policy UNION SELECT proname FROM pg_proc WHERE proname = 'refuse_row'
            UNION SELECT nspname FROM pg_namespace WHERE nspacl::text LIKE '%undertone_write%'
        """
        assert asked(found.migrate, left) == []
        migrate(found.migrate)
        withdraws(found.write)
    finally:
        remove(bare_server)


def test_to_look_at_the_revision_or_to_stop_before_the_newest_gives_nobody_anything(site: str) -> None:
    migrate(site, "0007")
    run(site, "CREATE TABLE before AS SELECT oid, relacl FROM pg_class")
    command.current(alembic_config(site))
    changed = (
        "SELECT relname FROM pg_class JOIN before USING (oid) WHERE pg_class.relacl IS DISTINCT FROM before.relacl"
    )
    assert asked(site, changed) == []


def test_tables_in_a_schema_of_their_own_are_secured_there(site: str) -> None:
    run(site, "CREATE SCHEMA calls", "ALTER DATABASE undertone SET search_path = calls, pg_temp")
    with psycopg.connect(site) as owner:
        assert owner.execute("SELECT current_schema()").fetchone() == ("calls",)
    migrate(site)
    assert asked(site, "SELECT proconfig::text FROM pg_proc WHERE proname = 'chain_audit'") == [
        '{"search_path=calls, pg_temp"}'
    ]
    withdraws(site)
