"""`python -m ops.chaos.stock worker`: the control, a stock Faust agent that writes each record's effect to PostgreSQL.

Everything is Faust's default: its consumer, its acknowledgements, its supervisor. Its agent does what the
documentation shows, and it uses psycopg's own pool. UNDERTONE_* name the servers, as for every worker.
"""

import os
import sys
import tempfile
from typing import Any

import faust
from psycopg_pool import AsyncConnectionPool

from streams.settings import Settings
from streams.topics import CALLS

GROUP = "stock-faust"
TABLE = "stock_effects"
SELECT = f"SELECT partition, record FROM {TABLE}"  # noqa: S608 - constants
INSERT = f"INSERT INTO {TABLE} (partition, record) VALUES (%s, %s)"  # noqa: S608 - constants


def stock_app(settings: Settings, folder: str) -> faust.App:
    """The app with its one agent; Faust wants a folder for tables that it does not have."""
    app = faust.App(
        GROUP,
        broker=f"kafka://{settings.kafka}",
        datadir=folder,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
    )
    calls = app.topic(CALLS.name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    pool = AsyncConnectionPool(settings.postgres.get_secret_value(), min_size=1, max_size=2, open=False)

    @app.agent(calls)
    async def write(records: Any) -> None:  # noqa: ANN401 - Faust ships no types
        await pool.open()
        async for event in records.events():
            async with pool.connection() as connection:
                await connection.execute(INSERT, (event.message.partition, event.message.offset))

    return app


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "--loglevel=warn"]
    with tempfile.TemporaryDirectory() as folder:
        stock_app(Settings.read(os.environ), folder).main()
