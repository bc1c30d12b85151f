"""Requests that are judged together, each told of its own windows only."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.emotion.model import Judgements
from services.inference.batching import Batching, LateError
from services.inference.model import Sent


class Judge:
    """Says of each window its length, once it is let; remembers its batches."""

    def __init__(self, hears: str = "alike") -> None:
        self.hears = hears
        self.batches: list[list[int]] = []
        self.free = Event()
        self.began = Event()
        self.fails = False

    def __call__(self, windows: Sequence[Sent]) -> Judgements:
        self.began.set()
        assert self.free.wait(10)
        lengths = [len(window.samples) for window in windows]
        self.batches.append(lengths)
        if self.fails:
            raise MemoryError
        classes = np.array(lengths, np.int64)
        return Judgements((None,) * len(lengths), {"head": classes}, {"head": classes[:, None].astype(np.float32)})


#: Judges and windows of each batch.
Parts = Sequence[tuple[Judge, Sequence[Sent]]]


def work(parts: Parts) -> list[Judgements]:
    return [judge(windows) for judge, windows in parts]


@pytest.fixture
def judge() -> Judge:
    return Judge()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


def windows(*lengths: int) -> list[Sent]:
    """Of so many seconds each."""
    return [Sent(np.zeros(length, np.int16), 1) for length in lengths]


def said(judged: Judgements) -> list[int]:
    assert len(judged.reasons) == len(judged.probabilities["head"]) == len(judged.classes["head"])
    return judged.classes["head"].tolist()


async def _asked(
    batching: Batching[Judge],
    judge: Judge,
    requests: Sequence[Sequence[int]],
    meanwhile: Callable[[], None] = lambda: None,
) -> list[asyncio.Task[Judgements]]:
    """The requests, all there before the first of them is judged."""
    tasks = [asyncio.create_task(batching.judged(judge, windows(*lengths))) for lengths in requests]
    await asyncio.to_thread(judge.began.wait, 10)
    meanwhile()
    judge.free.set()
    await asyncio.wait(tasks)
    return tasks


async def test_what_waits_while_a_batch_is_judged_is_the_next_batch(judge: Judge, threads: ThreadPoolExecutor) -> None:
    batching = Batching(threads, 1, work, seconds=100, wait_s=60)

    tasks = await _asked(batching, judge, [[3], [1, 2], [5]])

    assert judge.batches == [[3], [1, 2, 5]]
    assert [said(task.result()) for task in tasks] == [[3], [1, 2], [5]]


async def test_a_batch_holds_no_more_seconds_than_it_may_and_a_larger_request_goes_alone(
    judge: Judge, threads: ThreadPoolExecutor
) -> None:
    batching = Batching(threads, 1, work, seconds=10, wait_s=60)

    await _asked(batching, judge, [[1], [4, 4], [3], [30], [2], [7]])

    assert judge.batches == [[1], [4, 4], [3], [30], [2, 7]]


async def test_a_request_that_waited_for_too_long_is_told_so_and_not_judged(
    judge: Judge, threads: ThreadPoolExecutor
) -> None:
    batching = Batching(threads, 1, work, seconds=10, wait_s=-1)
    judge.free.set()

    with pytest.raises(LateError):
        await batching.judged(judge, windows(1))

    assert judge.batches == []


async def test_a_request_is_told_so_in_time_also_where_the_batch_before_it_lasts_longer(
    judge: Judge, threads: ThreadPoolExecutor
) -> None:
    batching = Batching(threads, 1, work, seconds=10, wait_s=0.05)

    first = asyncio.create_task(batching.judged(judge, windows(1)))
    await asyncio.to_thread(judge.began.wait, 10)
    try:
        with pytest.raises(LateError):
            await asyncio.wait_for(batching.judged(judge, windows(2)), 5)
    finally:
        judge.free.set()

    assert said(await first) == [1]
    assert judge.batches == [[1]]


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Nobody looks for garbage."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("wait_s", [-1, 60], ids=["waited for too long", "failed"])
async def test_what_a_request_held_is_free_once_its_client_is_told_that_it_is_not_judged(
    judge: Judge, threads: ThreadPoolExecutor, wait_s: float
) -> None:
    batching = Batching(threads, 1, work, seconds=10, wait_s=wait_s)
    judge.free.set()
    judge.fails = True
    asked = windows(1)
    samples = weakref.ref(asked[0].samples)

    try:
        await batching.judged(judge, asked)
    except (LateError, MemoryError):
        del asked
    await asyncio.sleep(0)

    assert samples() is None


@pytest.mark.usefixtures("uncollected")
async def test_what_a_request_held_is_free_once_its_client_has_gone_whatever_is_judged_meanwhile(
    judge: Judge, threads: ThreadPoolExecutor
) -> None:
    batching = Batching(threads, 1, work, seconds=10, wait_s=60)
    first = asyncio.create_task(batching.judged(judge, windows(1)))
    await asyncio.to_thread(judge.began.wait, 10)
    asked = windows(2)
    samples = weakref.ref(asked[0].samples)

    gone = asyncio.create_task(batching.judged(judge, asked))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    del asked, gone
    held = samples()
    judge.free.set()

    assert said(await first) == [1]
    assert held is None


async def test_a_request_whose_client_has_gone_is_not_judged(judge: Judge, threads: ThreadPoolExecutor) -> None:
    batching = Batching(threads, 1, work, seconds=10, wait_s=60)

    first, gone, last = [asyncio.create_task(batching.judged(judge, windows(n))) for n in (1, 2, 3)]
    await asyncio.to_thread(judge.began.wait, 10)
    gone.cancel()
    await asyncio.sleep(0)
    judge.free.set()

    assert [said(found) for found in await asyncio.gather(first, last)] == [[1], [3]]
    assert judge.batches == [[1], [3]]


async def _of_two(judge: Judge, other: Judge, threads: ThreadPoolExecutor) -> tuple[list[list[int]], list[list[int]]]:
    """What is said to five requests for two bundles, and how many windows of each bundle a batch had."""
    batches: list[list[int]] = []

    def counted(parts: Parts) -> list[Judgements]:
        found = work(parts)
        batches.append([len(windows) for _, windows in parts])
        return found

    batching = Batching(threads, 1, counted, seconds=100, wait_s=60)
    other.free.set()
    tasks = [
        asyncio.create_task(batching.judged(by, windows(length)))
        for by, length in ((judge, 1), (judge, 2), (other, 3), (judge, 4), (other, 5))
    ]
    await asyncio.to_thread(judge.began.wait, 10)
    judge.free.set()
    return [said(found) for found in await asyncio.gather(*tasks)], batches


async def test_windows_for_bundles_that_hear_alike_are_one_batch_and_each_bundle_judges_its_own(
    judge: Judge, threads: ThreadPoolExecutor
) -> None:
    other = Judge()
    assert await _of_two(judge, other, threads) == ([[1], [2], [3], [4], [5]], [[1], [2, 2]])
    assert (judge.batches, other.batches) == ([[1], [2, 4]], [[3, 5]])


async def test_windows_for_a_bundle_that_hears_otherwise_are_another_batch_and_hold_nobody_up(
    judge: Judge, threads: ThreadPoolExecutor
) -> None:
    other = Judge("otherwise")
    assert await _of_two(judge, other, threads) == ([[1], [2], [3], [4], [5]], [[1], [2], [2]])
    assert (judge.batches, other.batches) == ([[1], [2, 4]], [[3, 5]])


async def test_a_batch_that_fails_fails_for_all_who_wait_for_it_and_the_next_is_judged(
    judge: Judge, threads: ThreadPoolExecutor
) -> None:
    batching = Batching(threads, 1, work, seconds=3, wait_s=60)

    def fail() -> None:
        judge.fails = True

    tasks = await _asked(batching, judge, [[1], [1, 1], [1]], fail)
    assert all(isinstance(task.exception(), MemoryError) for task in tasks)

    judge.fails = False
    assert said(await batching.judged(judge, windows(9))) == [9]


@given(st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=4), min_size=1, max_size=12), st.integers(1, 3))
def test_every_request_is_told_of_its_own_windows_however_they_are_batched(
    requests: list[list[int]], count: int
) -> None:
    judge = Judge()

    async def run() -> list[asyncio.Task[Judgements]]:
        with ThreadPoolExecutor(count) as threads:
            return await _asked(Batching(threads, count, work, seconds=40, wait_s=60), judge, requests)

    assert [said(task.result()) for task in asyncio.run(run())] == requests
    assert sorted(length for batch in judge.batches for length in batch) == sorted(
        length for lengths in requests for length in lengths
    )
    sizes = {tuple(lengths): sum(lengths) for lengths in requests}
    assert all(sum(batch) <= max(40, *sizes.values()) for batch in judge.batches)
