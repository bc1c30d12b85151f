"""A database as an administrator makes it: by the statements of the chart's README, word for word."""

import re
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

README = Path(__file__).parents[3] / "helm" / "undertone" / "README.md"
PASSWORD = "not-a-secret"  # noqa: S105
GROUPS = ("undertone_write", "undertone_read")
LOGINS = ("undertone_migrate", "undertone_writer", "undertone_reader")


@dataclass(frozen=True, slots=True)
class Installed:
    """Addresses of one database by role, and of its administrator's own."""

    administrator: str
    migrate: str
    write: str
    read: str


def statements() -> list[str]:
    """What an administrator runs."""
    (block,) = re.findall(r"```sql\n(.*?)```", README.read_text(), re.DOTALL)
    code = re.sub(r"--.*", "", block).replace("'PASSWORD'", f"'{PASSWORD}'")
    return [statement.strip() for statement in code.split(";") if statement.strip()]


def administrator(superuser: str) -> str:
    """Address of one who is no superuser, as on a managed server; made where he is not there."""
    with psycopg.connect(superuser, autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_roles WHERE rolname = 'dba'").fetchone() is None:
            connection.execute(f"CREATE ROLE dba LOGIN CREATEROLE CREATEDB PASSWORD '{PASSWORD}'".encode())
    return make_conninfo(superuser, user="dba", password=PASSWORD)


def install(superuser: str) -> Installed:
    """Roles and an empty database; nothing is migrated yet."""
    chief = administrator(superuser)
    with psycopg.connect(chief, autocommit=True) as connection:
        for statement in statements():
            connection.execute(statement.encode())
    migrate, write, read = (
        make_conninfo(superuser, user=login, password=PASSWORD, dbname="undertone") for login in LOGINS
    )
    return Installed(chief, migrate, write, read)


def remove(superuser: str) -> None:
    """Take away databases and roles, whatever there is of them."""
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS undertone WITH (FORCE)")
        for role in (*GROUPS, *LOGINS):
            connection.execute(f"DROP ROLE IF EXISTS {role}".encode())
