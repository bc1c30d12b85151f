"""The schema's migrations, called from Python.

They lie in `migrations/` beside this package: the root of a checkout or of an editable install, and copied there in
an image. A wheel does not carry them.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config

_ROOT = Path(__file__).resolve().parents[2]


def migrate(address: str, revision: str = "head") -> None:
    """Bring the database at `address` (as libpq takes it) up to `revision`; several at once take turns.

    Raises FileNotFoundError where the package was installed without its migrations.
    """
    command.upgrade(alembic_config(address), revision)


def alembic_config(address: str) -> Config:
    """Alembic's configuration for a database, for its commands other than `upgrade`."""
    if not (_ROOT / "migrations" / "env.py").exists():
        raise FileNotFoundError(
            f"{_ROOT / 'migrations'} is missing: install Undertone from a checkout (pip install -e .)"
        )
    config = Config(toml_file=_ROOT / "pyproject.toml", attributes={"address": address})
    config.set_main_option("script_location", str(_ROOT / "migrations"))
    return config
