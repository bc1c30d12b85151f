"""The migrations make the tables that the code declares, both ways, and several at once take turns."""

import re
import subprocess
import sys

import psycopg
import pytest
from alembic import command

from streams.store.database import migration_engine
from streams.store.migrate import MigrationError, alembic_config, migrate
from streams.store.tables import metadata

_CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version' ORDER BY 1, 2
"""
_INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1"
_COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version' ORDER BY 1, 2
"""


def schema(url: str) -> list[list[tuple[object, ...]]]:
    with psycopg.connect(url) as connection:
        queries = (_CONSTRAINTS, _INDEXES, _COLUMNS)
        return [connection.execute(query.encode()).fetchall() for query in queries]


def test_up_down_and_up_again_leaves_nothing_to_change(postgres: str) -> None:
    config = alembic_config(postgres)
    migrate(postgres)
    up = schema(postgres)
    command.downgrade(config, "base")
    assert schema(postgres) == [[], [], []]
    with psycopg.connect(postgres) as connection:
        left = "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        assert connection.execute(left.encode()).fetchall() == []
    migrate(postgres)

    assert schema(postgres) == up
    command.check(config)


def test_the_migrations_make_what_the_code_declares_checks_included(postgres: str, migrated: str) -> None:
    engine = migration_engine(postgres)
    metadata.create_all(engine)
    engine.dispose()

    assert schema(migrated) == schema(postgres)


def test_migrations_that_start_together_take_turns(postgres: str) -> None:
    program = "import sys; from streams.store.migrate import migrate; migrate(sys.argv[1])"
    starting = [subprocess.Popen([sys.executable, "-c", program, postgres]) for _ in range(3)]

    assert [process.wait() for process in starting] == [0, 0, 0]
    command.check(alembic_config(postgres))


def test_a_migration_that_does_not_get_its_lock_gives_up_and_says_so(migrated: str) -> None:
    with psycopg.connect(migrated) as holder:
        holder.execute("LOCK TABLE labels IN ACCESS SHARE MODE")
        with pytest.raises(MigrationError, match="lock timeout"):
            migrate(migrated, "base", down=True)
    with psycopg.connect(migrated) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0009",)]


def test_a_database_that_is_not_there_is_one_clear_line(postgres: str) -> None:
    with pytest.raises(MigrationError, match="does not exist") as refusal:
        migrate(postgres + "_none")
    assert "\n" not in str(refusal.value)


def test_on_the_command_line_too_it_is_one_line_without_a_traceback(postgres: str) -> None:
    command = [sys.executable, "-m", "alembic", "-x", f"url={postgres}_none", "upgrade", "head"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    said = (ended.stdout + ended.stderr).strip()
    assert ended.returncode
    assert re.fullmatch("FAILED: cannot migrate the database: .*does not exist", said)
