"""The segment worker as it is deployed, which also notes each batch: `crowd_worker.py FILE`, told by `UNDERTONE_*`.

A line a batch: when it was done with (s since 1970), its records, and how long its last record had waited by then (s).
"""

import os
import sys
import time

from streams.app import run
from streams.ports import Batch
from streams.settings import Settings
from streams.stages.careful import Careful

noted = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
handle = Careful.handle


async def noting(self: Careful, batch: Batch) -> int | None:
    """Handle the batch, then note it."""
    durable = await handle(self, batch)
    if batch.records:
        now = time.time()
        waited_s = now - batch.records[-1].timestamp / 1000
        os.write(noted, f"{now} {len(batch.records)} {waited_s}\n".encode())
    return durable


Careful.handle = noting  # type: ignore[method-assign]
run("segment", Settings.read(os.environ))
