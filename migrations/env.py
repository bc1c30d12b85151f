"""Runs migrations one transaction each, one process at a time, and gives up rather than block the stages.

The address is `-x url=...`, else what `streams.store.migrate` was called with, else UNDERTONE_POSTGRES.
"""

import logging
import os

from alembic import context
from alembic.util import CommandError
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from streams.settings import Settings
from streams.store.access import apply
from streams.store.database import migration_engine
from streams.store.tables import metadata

logger = logging.getLogger("migrations")
#: Any constant of ours: two migrations at once take turns on it.
ADVISORY_LOCK = 5_220_111_030


def _address() -> str:
    given = context.get_x_argument(as_dictionary=True).get("url")
    called_with = context.config.attributes.get("address")
    return str(given or called_with or Settings.read(os.environ).postgres.get_secret_value())


def _to_the_newest() -> bool:
    """Whether this is an upgrade to the newest revision, and neither a way down nor a mere look."""
    try:
        return bool(context.get_revision_argument() == context.get_head_revision())
    except KeyError:
        return False


def _run(connection: Connection) -> None:
    for name in ("lock_timeout", "statement_timeout"):
        connection.execute(text(f"SET {name} = '60s'"))
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": ADVISORY_LOCK})
    # A migration that waits for a lock makes every later query wait behind it: fail early, run it again.
    connection.execute(text("SET lock_timeout = '4s'"))
    connection.execute(text("SET statement_timeout = '5s'"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transaction_per_migration=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
    if _to_the_newest() and (missing := apply(connection)) is not None:
        logger.warning(missing)
    connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": ADVISORY_LOCK})
    connection.commit()


if context.is_offline_mode():
    raise SystemExit("offline mode (--sql) is not supported: run it against a database")
engine = migration_engine(_address())
try:
    with engine.connect() as connection:
        _run(connection)
except (OperationalError, ProgrammingError) as error:
    if isinstance(error, ProgrammingError) and not isinstance(error.orig, InsufficientPrivilege):
        raise
    raise CommandError(f"cannot migrate the database: {' '.join(str(error.orig).split())}") from None
finally:
    engine.dispose()
