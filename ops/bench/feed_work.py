"""What both engines do with a record: decode mu-law, keep the last second of each call, and mark it where asked to."""

import json
import time
import zlib
from collections import defaultdict, deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streams.domain.records import Encoding
from streams.ports import Fetched
from streams.speech.decode import _LEVELS, Pcm

MULAW = _LEVELS[Encoding.PCMU]
KEPT = 25  #: chunks a call
SLOW_S = 2e-5  #: a record, where effects are marked: so that commits fall between them
PARTITIONS = 4

Effects = NDArray[np.uint32]


def effects_in(file: Path, records: int | None = None) -> Effects:
    """A mark for each offset of each partition, in a file that outlives its writer; new for so many `records`."""
    mode, size = ("r+", None) if records is None else ("w+", PARTITIONS * records)
    return np.memmap(file, np.uint32, mode, shape=size).reshape(PARTITIONS, -1)


class Work:
    """Counts records; once `count` came, says in a file what they took since `begin`.

    With a file of `effects`, each record leaves there what was decoded of it, at its offset.
    """

    def __init__(self, count: int, said: Path, effects: Path | None = None) -> None:
        self._effects = None if effects is None else effects_in(effects)
        self._count, self._said, self._seen, self._began = count, said, 0, 0.0
        self._calls: defaultdict[bytes, deque[Pcm]] = defaultdict(lambda: deque(maxlen=KEPT))

    def begin(self) -> None:
        """Partitions are there: fetching starts now."""
        self._began = time.process_time()

    def one(self, key: bytes, value: bytes, partition: int, offset: int) -> None:
        """A record by itself."""
        self._calls[key].append(MULAW[np.frombuffer(value, np.uint8)])
        self._mark(key, partition, offset)
        self._passed(1)

    def many(self, records: Sequence[Fetched]) -> None:
        """The records of a batch, their bytes decoded in one look-up."""
        values = [record.value or b"" for record in records]
        pcm = MULAW[np.frombuffer(b"".join(values), np.uint8)]
        start = 0
        for record, value in zip(records, values, strict=True):
            self._calls[record.key or b""].append(pcm[start : start + len(value)])
            start += len(value)
            self._mark(record.key or b"", record.partition, record.offset)
        self._passed(len(records))

    def _mark(self, key: bytes, partition: int, offset: int) -> None:
        if self._effects is not None:
            self._effects[partition, offset] = zlib.crc32(self._calls[key][-1].tobytes()) | 1  # 0: no effect

    def _passed(self, records: int) -> None:
        if self._effects is not None:
            time.sleep(records * SLOW_S)
        self._seen += records
        if self._seen == self._count:
            cpu_s = time.process_time() - self._began
            audio = b"".join(b"".join(map(np.ndarray.tobytes, self._calls[key])) for key in sorted(self._calls))
            self._said.with_suffix(".part").write_text(json.dumps({"cpu_s": cpu_s, "digest": zlib.crc32(audio)}))
            self._said.with_suffix(".part").rename(self._said)
