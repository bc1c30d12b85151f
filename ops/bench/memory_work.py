"""One point of `memory`: `memory_work.py CALLS SECONDS` prints kB a call at the peak and CPU ms a second of a call."""

import asyncio
import json
import sys
from collections.abc import Sequence

import psutil
from segment import CHUNK_MS, Ticks, played, stage, talk

from streams.adapters.memory_topics import MemoryTopics
from streams.ports import Outgoing
from streams.speech.activity import VoiceActivity

VOICES = 16  #: calls share so many recordings: what the bench holds of them is not the stage's memory


class Nowhere(MemoryTopics):
    """Takes windows and keeps none."""

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Let go."""


async def run(calls: int, seconds: int) -> dict[str, float]:
    """Play the calls through a stage, after another one has brought in what a process needs once."""
    voices = talk(VOICES, 60)
    await played(stage(VoiceActivity(), Nowhere()), Ticks(voices), 20)
    process = psutil.Process()
    before, seen = process.memory_info().rss, [0]
    ticks = Ticks([voices[call % VOICES] for call in range(calls)])
    count = seconds * 1000 // CHUNK_MS
    made = stage(VoiceActivity(), Nowhere())
    used = await played(made, ticks, count, lambda: seen.append(process.memory_info().rss))
    return {"kb": (max(seen) - before) / calls / 1024, "ms": used / calls / seconds * 1000}


print(json.dumps(asyncio.run(run(int(sys.argv[1]), int(sys.argv[2])))))
