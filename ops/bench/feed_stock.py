"""The control, as Faust's guide has it: `feed_stock.py BOOTSTRAP TOPIC GROUP COUNT FILE [EFFECTS]`."""

import sys
import tempfile
from pathlib import Path
from typing import Any

import faust
from feed_work import Work

from streams.app import collect_seldom

bootstrap, topic, group, count, said, *effects = sys.argv[1:]
work = Work(int(count), Path(said), *map(Path, effects))

collect_seldom()  # as ours does: what is compared is the engine, not the interpreter's settings
with tempfile.TemporaryDirectory() as folder:
    app = faust.App(
        group,
        broker=f"kafka://{bootstrap}",
        datadir=folder,
        consumer_auto_offset_reset="earliest",
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    records = app.topic(topic, key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes)

    @app.on_partitions_assigned.connect
    async def begin(*_: Any, **__: Any) -> None:  # noqa: ANN401 - Faust ships no types
        """Partitions are there: fetching starts now."""
        work.begin()

    @app.agent(records)
    async def agent(stream: Any) -> None:  # noqa: ANN401 - Faust ships no types
        """A record at a time."""
        async for event in stream.events():
            work.one(event.key, event.value, event.message.partition, event.message.offset)

    faust.Worker(app, loglevel="WARN").execute_from_commandline()
