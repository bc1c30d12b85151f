"""One point of `memory`: `memory_work.py CALLS SECONDS CHANNELS` prints kB a call at the peak and its CPU ms a second.

`process_kb` is what the process grew by, `state_kb` what the stage holds of its calls: where there are few of them, the
process keeps more in its allocator than they hold.
"""

import asyncio
import gc
import json
import sys
from collections.abc import Sequence
from types import FunctionType, ModuleType

import psutil
from segment import CHUNK_MS, Ticks, played, stage, talk, together

from streams.adapters.memory_topics import MemoryTopics
from streams.ports import Outgoing
from streams.speech.activity import VoiceActivity

LOOKS = 20  #: at the state, which takes longer than at the process
VOICES = 16  #: calls share so many recordings: what the bench holds of them is not the stage's memory


class Nowhere(MemoryTopics):
    """Takes windows and keeps none."""

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Let go."""


def size(root: object) -> int:
    """Bytes of everything that can be reached from `root`, code aside."""
    seen, waiting = {id(root): root}, [root]
    while waiting:
        for each in gc.get_referents(waiting.pop()):
            if id(each) not in seen and not isinstance(each, type | ModuleType | FunctionType):
                seen[id(each)] = each
                waiting.append(each)
    return sum(map(sys.getsizeof, seen.values()))


async def run(calls: int, seconds: int, channels: int) -> dict[str, float]:
    """Play the calls through a stage, after another one has brought in what a process needs once."""
    activity, process = VoiceActivity(), psutil.Process()
    voices = [call if channels == 2 else together(call) for call in talk(VOICES, 60)]
    await played(stage(activity, Nowhere()), Ticks(voices), 20)
    made = stage(activity, Nowhere())
    before, grown, states, every = process.memory_info().rss, 0, [0], max(1, seconds * 1000 // CHUNK_MS // LOOKS)

    def look(number: int) -> None:
        nonlocal grown
        grown = max(grown, process.memory_info().rss - before)
        if number % every == every - 1:
            states.append(size(made._partitions))  # noqa: SLF001 - a bench looks inside

    ticks = Ticks([voices[call % VOICES] for call in range(calls)])
    used = await played(made, ticks, seconds * 1000 // CHUNK_MS, look)
    kb = calls * 1024
    return {"process_kb": grown / kb, "state_kb": max(states) / kb, "ms": used / calls / seconds * 1000}


print(json.dumps(asyncio.run(run(*map(int, sys.argv[1:])))))
