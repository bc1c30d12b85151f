"""Recorded runs of the encoder, as launching its kernels one by one takes a processor longer than they run.

A CUDA graph replays kernels over the same memory, so a run is recorded for each size of stream (a rung of a ladder)
and set of layers, when it is first asked for. What is left of the rung is a window that nobody reads.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from threading import Lock
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn

from services.emotion.encoders.packing import Geometry, Pack, Room, pack

STEP = 1.04  #: from one rung to the next: what a pack may be longer than its windows
LARGEST_S = 320  #: seconds of audio in a pack: enough for full speed
SHORTEST_S = 2.5  #: of most windows; a rung has room for as many of these
RATE = 16_000
WARM = 3  #: runs before the recording, in which libraries choose kernels and take memory

#: The means that an encoder reads of a stream: samples and pack in, (windows, layers, values) out.
Run = Callable[[Tensor, Pack], Tensor]

Key = tuple[Room, tuple[int, ...]]  #: of a run: where its windows have room, and the layers that are read


def room(geometry: Geometry, lengths: Sequence[int]) -> Room | None:
    """The smallest rung that holds these windows; None where none does."""
    slots = sum(-(-length // geometry.stride) for length in lengths)
    for found in (_room(geometry, rung) for rung in rungs(geometry)):
        # By one at least: what is left is a window, and must have a frame.
        if found.slots > slots and found.windows > len(lengths):
            return found
    return None


def _room(geometry: Geometry, slots: int) -> Room:
    return Room(slots, int(slots * geometry.stride / (SHORTEST_S * RATE)) + 2)


def largest(geometry: Geometry) -> Room:
    """The last rung."""
    *_, slots = rungs(geometry)
    return _room(geometry, slots)


def rungs(geometry: Geometry) -> Iterator[int]:
    """Strides of each rung's stream, from that of one short window to `LARGEST_S`."""
    slots = int(SHORTEST_S * RATE / geometry.stride) + 1
    while slots * geometry.stride <= LARGEST_S * RATE:
        yield slots
        slots = max(slots + 1, int(slots * STEP))


class Graphs:
    """An encoder's recorded runs, over one piece of memory: they never run at the same time."""

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        self._memory = torch.cuda.graph_pool_handle()
        self._graphs: dict[Key, tuple[ref[nn.Module], Graph]] = {}
        self._lock = Lock()

    def replay(self, key: Key, deepest: nn.Module, stream: Tensor, packed: Pack, run: Run) -> Tensor:
        """What `run` gives for the stream and its pack, which is in the key's room: (windows, layers, values).

        `deepest` is the last of the layers that are run. A graph knows where their weights lay and does not keep them,
        so where another is in its place by now the run is recorded again.
        """
        with self._lock:
            known = self._graphs.get(key)
            if known is None or known[0]() is not deepest:
                known = self._graphs[key] = ref(deepest), self._recorded(key[0], stream, run)
            return known[1].replay(stream, packed)

    def _recorded(self, size: Room, stream: Tensor, run: Run) -> "Graph":
        one = pack(self._geometry, [(size.slots - 1) * self._geometry.stride], stream.device, size)
        return Graph(torch.zeros_like(stream), one, run, self._memory)


class Graph:
    """One recorded run over a stream and a pack of its own."""

    def __init__(self, stream: Tensor, packed: Pack, run: Run, memory: Any) -> None:  # noqa: ANN401 - torch hides its type
        self._stream, self._pack = stream, packed
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's own
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM):
                run(stream, packed)
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=memory, capture_error_mode="thread_local"):
            self._found = run(stream, packed)

    def replay(self, stream: Tensor, packed: Pack) -> Tensor:
        """(windows, layers, values) of this stream."""
        self._stream.copy_(stream)
        for field in fields(packed):
            if isinstance(mine := getattr(self._pack, field.name), Tensor):
                mine.copy_(getattr(packed, field.name))
        self._graph.replay()
        return self._found[: len(packed.lengths)].clone()
