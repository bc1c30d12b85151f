"""The demo's course: a fresh stack, calls published to it, everything followed until nothing is missing."""

import asyncio
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from services.calls import GIVEN_BEFORE, Planned, counted
from services.recordings import Recording
from services.standalone import jars
from services.standalone.demo.board import Board, Event, Played, Row, loudest
from services.standalone.demo.report import Report, call_report, seconds_between, versions
from services.standalone.demo.screen import Screen
from services.standalone.demo.settled import Settled, missing
from services.standalone.demo.stored import Stored, read
from services.standalone.errors import StandaloneError
from services.standalone.places import locked
from services.standalone.stack import Stack, running_stack
from streams.app import SOURCES, group
from streams.domain.privacy import pseudonym
from streams.domain.records import Audio, Consent, Notice, Purpose, Role, Started
from streams.kafka.admin import lag, retained
from streams.kafka.cloudevents import decode_escalation, decode_label, decode_window
from streams.kafka.connection import connection
from streams.kafka.producer import KafkaSender
from streams.kafka.publish import publish, subscribe
from streams.ports import Fetched
from streams.settings import Settings
from streams.speech.decode import decode
from streams.store.database import Database
from streams.store.epochs import read_epochs
from streams.topics import DEADLETTERS, ESCALATIONS, LABELS, WINDOWS

NOTICE, BASIS = "undertone-demo", "demonstration"
LOOK_S = 0.5
QUIET_S = 120.0  #: without any news: a worker that died is back well before


@dataclass(frozen=True, slots=True)
class Part:
    """A recording, and who is on which channel of it."""

    recording: Recording
    roles: tuple[Role, ...]


@contextmanager
def fresh(folder: Path) -> Iterator[Path]:
    """An empty folder, this demo's alone. What was played is deleted however it ends; logs stay."""
    refusal = f"{folder}: another demo is running here. Wait until it is over, or stop it."
    with locked(folder.with_suffix(".lock"), wait=False, refusal=refusal):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            yield folder
        finally:
            for server in ("kafka", "postgres"):
                shutil.rmtree(folder / server / "data", ignore_errors=True)


async def play(folder: Path, parts: Sequence[Part], *, bundle: Path, speed: float, screen: Screen) -> Report:
    """Play the recordings through a stack of their own. Raises StandaloneError where it does not get to the end."""
    given = {"UNDERTONE_INFERENCE_BUNDLE": str(bundle)}
    async with running_stack(folder, demo_bundle=True, given=given, told=screen.line) as stack:
        plans = _plans(parts, stack.settings)
        database = Database(stack.settings.postgres.get_secret_value(), application="demo", connections=1)
        try:
            with screen.on({call: _row(plan) for call, plan in plans.items()}):
                stored = await _watch(stack.settings, database, plans, screen, speed)
            return await _report(stack, plans, screen.board, stored)
        finally:
            await database.close()


def _plans(parts: Sequence[Part], settings: Settings) -> dict[str, Planned]:
    """Pseudonym -> call. The ids are random and stay in this process; notice and consent are the demo's own."""
    epoch, at = read_epochs(settings.epochs)[-1], datetime.now(UTC)
    given_at = at - GIVEN_BEFORE
    grant = Consent(Purpose.ALERTING, granted=True, basis=BASIS, given_at=given_at)
    started = Started("demo", (), "en", Notice(NOTICE, "1", "en", given_at), (grant,))
    ids = [(str(uuid4()), part) for part in parts]
    return {
        pseudonym(epoch, call_id): Planned(part.recording, call_id, replace(started, channels=part.roles), at)
        for call_id, part in ids
    }


def _row(plan: Planned) -> Row:
    recording = plan.recording
    return Row(recording.path.name, plan.started.channels, recording.duration_ms, plan.chunk_ms)


async def _watch(
    settings: Settings, database: Database, plans: Mapping[str, Planned], screen: Screen, speed: float
) -> Stored:
    """Publish and follow until everything has settled; what PostgreSQL holds then."""
    publishing = asyncio.create_task(_publish(settings, plans, screen, speed))
    following = (
        _follow(settings, WINDOWS.name, decode_window, screen.tell),
        _follow(settings, LABELS.name, decode_label, screen.tell),
        _follow(settings, ESCALATIONS.name, decode_escalation, screen.tell),
    )
    tasks = [publishing, *map(asyncio.create_task, following)]
    try:
        return await _settle(settings, database, plans, screen, tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _follow(
    settings: Settings, topic: str, decoder: Callable[[Fetched], Event], tell: Callable[[Event], None]
) -> None:
    async with subscribe(settings, topic, decoder, since="earliest") as records:
        async for record in records:
            tell(record)


async def _publish(settings: Settings, plans: Mapping[str, Planned], screen: Screen, speed: float) -> None:
    async with KafkaSender(connection(settings)) as sender:
        await asyncio.gather(
            *(
                publish(counted(plan.records(), _played(call, screen)), sender, speed=speed)
                for call, plan in plans.items()
            )
        )


def _played(call: str, screen: Screen) -> Callable[[Audio], None]:
    """Take note of each chunk as it goes out: how far the call is, and who is the louder in it."""
    row, at_ms = screen.board[call], 0

    def take(audio: Audio) -> None:
        nonlocal at_ms
        at_ms += audio.duration_ms
        row.voices.append(loudest(decode(audio), row.roles))
        screen.tell(Played(call, at_ms))

    return take


async def _settle(
    settings: Settings,
    database: Database,
    plans: Mapping[str, Planned],
    screen: Screen,
    tasks: Sequence[asyncio.Task[None]],
) -> Stored:
    loop, lacking = asyncio.get_running_loop(), ["an answer from PostgreSQL"]
    try:
        async with asyncio.timeout(QUIET_S) as patience:
            while True:
                before = screen.board
                stored = await read(database, plans.keys())
                for event in stored.kept():
                    screen.tell(event)
                lacking = missing(screen.board, await _settled(settings, stored, tasks, screen.board))
                if not lacking:
                    return stored
                if screen.board != before:
                    patience.reschedule(loop.time() + QUIET_S)
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise StandaloneError(f"nothing has moved for {QUIET_S:.0f} s; missing: {'; '.join(lacking)}") from None


async def _settled(settings: Settings, stored: Stored, tasks: Sequence[asyncio.Task[None]], board: Board) -> Settled:
    for task in tasks:
        if task.done():
            task.result()  # raises what ended it
    published = tasks[0].done()
    behind: dict[str, int] = {}
    if published and all(row.over for row in board.values()):  # to ask the broker earlier would only cost time
        lags = await lag(settings, {group(stage): topic.name for stage, topic in SOURCES.items()})
        behind = {stage: sum(each.behind for each in lags if each.group == group(stage)) for stage in SOURCES}
    return Settled(published, behind, stored.unsent, sum(stored.escalations.values()))


async def _report(stack: Stack, plans: Mapping[str, Planned], board: Board, stored: Stored) -> Report:
    began = min(plan.at for plan in plans.values())
    return Report(
        calls=tuple(call_report(row, call, stored, published_ms=row.played_ms) for call, row in board.items()),
        dead_letters=await retained(stack.settings, DEADLETTERS.name),
        seconds=seconds_between(began, stored),
        restarts=stack.restarts,
        versions=versions(stored, jars.KAFKA),
    )
