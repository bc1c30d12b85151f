"""The schema's migrations, called from Python.

They lie in `migrations/` beside this package: the root of a checkout or of an editable install, and copied there in
an image. A wheel does not carry them.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError

_ROOT = Path(__file__).resolve().parents[2]


class MigrationError(RuntimeError):
    """The database could not be brought to a revision; it is at the last one that went through."""


def migrate(address: str, revision: str = "head", *, down: bool = False) -> None:
    """Bring the database at `address` (as libpq takes it) to `revision`; several processes at once take turns.

    Raises MigrationError where the server cannot be reached or a lock is not had in 4 s (try again), and where the
    address is not that of the tables' owner.
    """
    config = alembic_config(address)
    try:
        (command.downgrade if down else command.upgrade)(config, revision)
    except CommandError as error:
        raise MigrationError(str(error)) from None


def alembic_config(address: str) -> Config:
    """Alembic's configuration for a database, for its commands other than `upgrade` and `downgrade`."""
    if not (_ROOT / "migrations" / "env.py").exists():
        raise MigrationError(f"{_ROOT / 'migrations'} is missing: install from a checkout (pip install -e .)")
    config = Config(toml_file=_ROOT / "pyproject.toml", attributes={"address": address})
    config.set_main_option("script_location", str(_ROOT / "migrations"))
    return config
