"""The label stage's client against the real server: what it survives, and whom it blames."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry

from services.emotion.bundle import Bundle
from services.standalone.places import free_port
from streams.adapters.inference import InferenceClient
from streams.domain.records import Label, Outcome, Window
from streams.domain.scoring import Served
from streams.domain.unlabelled import Unlabelled
from streams.metrics import Metrics

Serving = Callable[..., AbstractAsyncContextManager[TestServer]]
Windows = Callable[..., Window]
Answer = Callable[[], web.Response]


@asynccontextmanager
async def asking(
    address: object, wanted: Mapping[str, Served] | None = None, silent_s: float = 60
) -> AsyncIterator[tuple[InferenceClient, CollectorRegistry]]:
    registry, waits_s = CollectorRegistry(), (0.01, 0.05)
    client = InferenceClient(str(address), Metrics(registry), wanted or {}, waits_s=waits_s, silent_s=silent_s)
    async with client:
        yield client, registry


def first_answering(answers: Iterator[Answer]) -> Middleware:
    """A middleware that gives these answers to infer requests before it lets any through."""

    @web.middleware
    async def middleware(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        answer = next(answers, None) if request.path.endswith("/infer") else None
        return await handler(request) if answer is None else answer()

    return middleware


def deaf_until(heard: asyncio.Event) -> Middleware:
    """A middleware that takes infer requests and says nothing for as long as `heard` is not set."""

    @web.middleware
    async def middleware(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path.endswith("/infer"):
            await heard.wait()
        return await handler(request)

    return middleware


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.01)


def shown(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("undertone_waiting", {"dependency": "inference"})


def outcomes(labels: list[Label]) -> list[tuple[Outcome, str | None]]:
    return [(label.outcome, label.reason) for label in labels]


@pytest.mark.parametrize(
    ("wanted", "outcome"),
    [
        (Served("demo", demo=True), (Outcome.LABELLED, None)),
        (Served("site-1", demo=True), (Outcome.FAILED, "other_bundle")),
        (Served("demo", demo=False), (Outcome.FAILED, "other_bundle")),  # it must not score real customers
    ],
)
async def test_a_use_case_is_labelled_by_the_bundle_that_it_names_and_by_no_other(
    serving: Serving, demo: Bundle, window: Windows, wanted: Served, outcome: tuple[Outcome, str | None]
) -> None:
    wishes = {"demo": wanted, "other": Served("demo", demo=True)}
    async with serving(demo) as server, asking(server.make_url("/"), wishes) as (client, _):
        labels = await client.label([window(0), replace(window(3000), use_case="other")])
    assert outcomes(labels) == [outcome, (Outcome.LABELLED, None)]
    assert bool(labels[0].heads) == (outcome[0] is Outcome.LABELLED)


async def test_labels_carry_the_windows_identity_and_every_heads_classes(
    serving: Serving, demo: Bundle, window: Windows
) -> None:
    async with serving(demo) as server, asking(server.make_url("/")) as (client, _):
        windows = [window(0), window(3000, data=bytes(48_000)), window(6000)]
        labels = await client.label(windows)
    assert [label.window_id for label in labels] == ["w0", "w3000", "w6000"]
    assert {(label.bundle, label.consent_seq) for label in labels} == {(demo.sha256, 4)}
    assert outcomes(labels) == [
        (Outcome.LABELLED, None),
        (Outcome.ABSTAINED, "silent"),
        (Outcome.LABELLED, None),
    ]
    assert {head: tuple(row) for head, row in labels[0].heads.items()} == demo.manifest.scheme.heads
    assert all(sum(row.values()) == pytest.approx(1, abs=1e-6) for row in labels[0].heads.values())
    assert labels[1].heads == {}


async def test_no_windows_ask_nobody(window: Windows) -> None:
    async with asking("http://127.0.0.1:9") as (client, _):
        assert await client.label([]) == []


async def test_windows_of_two_rates_come_back_in_order(serving: Serving, demo: Bundle, window: Windows) -> None:
    async with serving(demo) as server, asking(server.make_url("/")) as (client, _):
        windows = [window(at, rate=rate) for at, rate in enumerate([8000, 16_000, 8000, 16_000])]
        labels = await client.label(windows)
    assert [label.window_id for label in labels] == ["w0", "w1", "w2", "w3"]
    assert labels[0].heads == labels[2].heads != labels[1].heads == labels[3].heads


async def test_a_service_that_is_down_is_waited_for(serving: Serving, demo: Bundle, window: Windows) -> None:
    port = free_port()
    async with asking(f"http://127.0.0.1:{port}") as (client, registry):
        asked = asyncio.create_task(client.label([window()]))
        await until(lambda: client.waiting)
        assert shown(registry) == 1
        async with serving(demo, port):
            assert outcomes(await asked) == [(Outcome.LABELLED, None)]
        assert not client.waiting
        assert shown(registry) == 0


async def test_a_service_that_takes_a_request_and_is_silent_is_waited_for_and_its_late_answer_counts(
    serving: Serving, demo: Bundle, window: Windows
) -> None:
    heard = asyncio.Event()
    async with (
        serving(demo, 0, deaf_until(heard)) as server,
        asking(server.make_url("/"), silent_s=0.05) as (client, registry),
    ):
        asked = asyncio.create_task(client.label([window()]))
        await until(lambda: client.waiting)
        assert shown(registry) == 1
        heard.set()
        assert outcomes(await asked) == [(Outcome.LABELLED, None)]
        assert not client.waiting
        assert shown(registry) == 0


async def test_a_service_that_takes_connections_and_never_says_a_word_is_waited_for(window: Windows) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    deaf = await asyncio.start_server(never, "127.0.0.1", 0)
    port = deaf.sockets[0].getsockname()[1]
    async with deaf, asking(f"http://127.0.0.1:{port}", silent_s=0.05) as (client, _):
        asked = asyncio.create_task(client.label([window()]))
        await until(lambda: client.waiting)
        asked.cancel()
        await asyncio.wait((asked,))


async def test_who_gives_up_a_request_waits_no_more(window: Windows) -> None:
    async with asking(f"http://127.0.0.1:{free_port()}") as (client, registry):
        asked = asyncio.create_task(client.label([window()]))
        await until(lambda: client.waiting)
        asked.cancel()
        await asyncio.wait((asked,))
        assert not client.waiting
        assert shown(registry) == 0


async def test_one_of_two_requests_that_is_given_up_leaves_the_other_waited_for(window: Windows) -> None:
    async with asking(f"http://127.0.0.1:{free_port()}") as (client, _):
        first, second = (asyncio.create_task(client.label([window(at)])) for at in (0, 3000))
        await until(lambda: len(client._unanswered) == 2)
        first.cancel()
        await asyncio.wait((first,))
        assert client.waiting
        second.cancel()
        await asyncio.wait((second,))
        assert not client.waiting


async def test_a_service_that_is_busy_failing_or_garbled_is_asked_again(
    serving: Serving, demo: Bundle, window: Windows
) -> None:
    troubles: list[Answer] = [
        lambda: web.Response(status=429, headers={"Retry-After": "0"}),
        lambda: web.Response(status=500),
        lambda: web.Response(status=503),
        lambda: web.Response(status=403),
        lambda: web.Response(body=b"<html>"),
        lambda: web.json_response({"outputs": [], "parameters": {"bundle_sha256": demo.sha256}}),
    ]
    left = iter(troubles)
    async with serving(demo, 0, first_answering(left)) as server, asking(server.make_url("/")) as (client, _):
        assert outcomes(await client.label([window()])) == [(Outcome.LABELLED, None)]
    assert next(left, None) is None


@pytest.mark.parametrize("bad", [{"data": b""}, {"rate": 4000}, {"data": bytes(8000 * 2 * 61)}])
@pytest.mark.parametrize("place", [0, 3, 6])
async def test_a_window_that_the_service_refuses_fails_alone(
    serving: Serving, demo: Bundle, window: Windows, bad: dict[str, object], place: int
) -> None:
    windows = [window(at) for at in range(7)]
    windows[place] = window(place, **bad)
    async with serving(demo) as server, asking(server.make_url("/")) as (client, _):
        labels = await client.label(windows)
    assert [label.window_id for label in labels] == [f"w{at}" for at in range(7)]
    failed = [at for at, label in enumerate(labels) if label.outcome is Outcome.FAILED]
    assert failed == [place]
    assert labels[place].reason == Unlabelled.REFUSED
    assert labels[place].bundle == demo.sha256


async def test_half_a_sample_at_a_windows_end_does_not_shift_its_neighbours(
    serving: Serving, demo: Bundle, window: Windows
) -> None:
    async with serving(demo) as server, asking(server.make_url("/")) as (client, _):
        (plain,) = await client.label([window()])
        odd = await client.label([window(data=window().data + b"\x01"), window()])
    for label in odd:
        assert label.classes == plain.classes
        for head, shares in plain.heads.items():
            assert label.heads[head] == pytest.approx(shares, abs=1e-4)


async def test_a_bundle_replaced_in_between_is_noticed(
    serving: Serving, demo: Bundle, other: Bundle, window: Windows
) -> None:
    port = free_port()
    async with asking(f"http://127.0.0.1:{port}") as (client, _):
        async with serving(demo, port):
            (before,) = await client.label([window()])
        async with serving(other, port):
            (after,) = await client.label([window()])
    assert (before.bundle, after.bundle) == (demo.sha256, other.sha256)
    assert list(before.heads["arousal.full"]) == ["excited", "neutral"]
    assert list(after.heads["arousal.full"]) == ["excited!", "neutral!"]
