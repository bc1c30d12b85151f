"""Looks for the raw call ids of a run wherever they must not be: everywhere but on `calls.v1`."""

import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
from psycopg import sql

from streams.topics import CALLS

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
ROWS = "SELECT t::text FROM {} t"


def leaks(folder: Path, address: str, ids: Collection[str], *, known: Path) -> list[str]:
    """The files under `folder`, and the tables of the database, that hold one of these ids. `known`: the one that may.

    Files of calls.v1 may too.
    """
    wanted = re.compile("|".join(map(re.escape, ids)).encode())
    return [
        place for places in (_files(folder, known), _tables(address)) for place, said in places if wanted.search(said)
    ]


def _files(folder: Path, known: Path) -> Iterator[tuple[str, bytes]]:
    """Logs of all programs, the other topics' files, whatever else was written beside them."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path != known and not any(part.startswith(f"{CALLS.name}-") for part in inside.parts):
            with suppress(FileNotFoundError, IsADirectoryError):  # servers clear up meanwhile
                yield str(inside), path.read_bytes()


def _tables(address: str) -> Iterator[tuple[str, bytes]]:
    """Every column of every row, as text: the server's own files hold long values compressed."""
    with psycopg.connect(address) as connected:
        for (table,) in connected.execute(TABLES).fetchall():
            rows = connected.execute(sql.SQL(ROWS).format(sql.Identifier(table))).fetchall()
            yield f"table {table}", "\n".join(text for (text,) in rows).encode()
