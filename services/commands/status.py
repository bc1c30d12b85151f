"""`undertone status`: how far the stream is, by what the broker and PostgreSQL say."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.commands import site
from streams.app import SOURCES, group
from streams.domain.call import IDLE_END
from streams.kafka.admin import Lag, lag, partitions_of, retained
from streams.settings import Settings
from streams.store.status import StoreStatus, store_status
from streams.topics import DEADLETTERS, TOPICS

UNSENT = timedelta(minutes=1)  #: an escalation that waits longer has no relay

app = typer.Typer()


@dataclass(frozen=True, slots=True)
class StageStatus:
    """How far a stage is behind its topic; `behind` counts records over all partitions."""

    stage: str
    topic: str
    partitions: int
    behind: int
    behind_on: tuple[int, ...] = ()  #: partitions with such records


@dataclass(frozen=True, slots=True)
class Status:
    """The stream in one look."""

    stages: tuple[StageStatus, ...]
    missing_topics: tuple[str, ...]
    dead_letters: int  #: that the broker still has
    store: StoreStatus


@app.command()
def status(*, as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False) -> None:
    """Show how far each stage is, and what needs looking after.

    Exits with 1 where something does.

    For example:

        undertone status

        undertone status --json | jq .stages
    """
    found, now = asyncio.run(_ask(site.settings())), datetime.now(UTC)
    worries = list(concerns(found, now))
    if as_json:
        typer.echo(json.dumps({**asdict(found), "concerns": worries}, default=str))
    else:
        show(found, worries, now, Console(highlight=False))
    if worries:
        raise typer.Exit(1)


def concerns(found: Status, now: datetime) -> Iterator[str]:
    """What a person should look after, each with where to look."""
    for topic in found.missing_topics:
        yield f"there is no topic {topic}: run `undertone topics apply`"
    unsent_at = found.store.oldest_unsent_at
    if unsent_at is not None and now - unsent_at > UNSENT:
        yield f"an escalation has waited for {_age(unsent_at, now)} to be sent: is the relay running?"
    # An idle call holds back no record, and one whose state no key opens stays as it is: neither tells of the stage.
    behind_on = {partition for stage in found.stages if stage.stage == "segment" for partition in stage.behind_on}
    for partition, at in sorted(found.store.last_checkpoint_at.items()):
        if partition in behind_on and now - at > IDLE_END + UNSENT:
            yield f"partition {partition}: no call has moved on for {_age(at, now)}: is the segment stage running?"


def show(found: Status, worries: Sequence[str], now: datetime, console: Console) -> None:
    """Print all of it."""
    table = Table("stage", "reads", "partitions", "records behind")
    for stage in found.stages:
        table.add_row(stage.stage, stage.topic, str(stage.partitions), str(stage.behind))
    console.print(table)
    for line in _lines(found, now):
        console.print(line, soft_wrap=True)
    for worry in worries:
        console.print(worry, style="red", soft_wrap=True)


def _lines(found: Status, now: datetime) -> Iterator[str]:
    store = found.store
    last = f", one of them last checkpointed {_age(store.oldest_checkpoint_at, now)} ago" if store.open_calls else ""
    yield f"calls         {store.calls}, {store.open_calls} open{last}"
    turn_at = store.oldest_open_turn_at
    yield f"open turns    {f'the oldest began {_age(turn_at, now)} ago' if turn_at else 'none'}"
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in store.labels.items())
    yield f"windows       {sum(store.labels.values())}: {outcomes}"
    waiting = f", the oldest for {_age(store.oldest_unsent_at, now)}" if store.unsent else ""
    yield f"escalations   {store.escalations}, {store.unsent} not sent yet{waiting}"
    yield f"dead letters  {found.dead_letters}"


def _age(then: datetime | None, now: datetime) -> str:
    seconds = 0 if then is None else max(0, round((now - then).total_seconds()))
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"


async def _ask(settings: Settings) -> Status:
    with site.kafka(settings):
        topics = [topic.name for topic in TOPICS]
        missing = tuple([name for name in topics if not await partitions_of(settings, name)])
        lags = await lag(settings, {group(stage): topic.name for stage, topic in SOURCES.items()})
        letters = await retained(settings, DEADLETTERS.name)
    async with site.database(settings, "status") as database:
        store = await store_status(database)
    return Status(tuple(_stage(name, lags) for name in SOURCES), missing, letters, store)


def _stage(name: str, lags: Sequence[Lag]) -> StageStatus:
    own = [each for each in lags if each.group == group(name)]
    behind_on = tuple(each.partition for each in own if each.behind)
    return StageStatus(name, SOURCES[name].name, len(own), sum(each.behind for each in own), behind_on)
