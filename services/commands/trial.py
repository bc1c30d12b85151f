"""`undertone trial`: one call through the whole stream, to see that it works where it is installed."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated
from uuid import uuid4

import typer
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.commands import site
from services.commands.calls import erase
from services.commands.publish import UseCaseName, publish
from services.standalone.samples import CALM
from streams.domain.privacy import pseudonym
from streams.domain.records import Outcome
from streams.settings import Settings
from streams.store.database import Database
from streams.store.epochs import read_epochs
from streams.store.tables import labels

LOOK_S = 0.5
WAIT_S = 120

app = typer.Typer()

Counts = Mapping[Outcome, int]


@app.command()
def trial(
    use_case: UseCaseName = "demo",
    wait: Annotated[float, typer.Option(min=1, help="Seconds to wait for the first label.")] = WAIT_S,
) -> None:
    """Publish a sample call, wait for its labels, and erase it again.

    The call is a calm one, of synthetic speech. Exits with 1 where no label of it is written, or one has failed.

    For example:

        undertone trial --use-case support
    """
    settings, call_id = site.settings(), f"trial-{uuid4()}"
    publish([CALM], channels="agent,customer", notice="trial", consent="consent", use_case=use_case, call_id=call_id)
    try:
        found = asyncio.run(_labels(settings, call_id, wait))
    finally:
        erase(call_id)
    typer.echo(told(found))
    if not passed(found):
        raise typer.Exit(1)


def passed(found: Counts) -> bool:
    """Whether the call was labelled; that a bundle abstains from synthetic speech shows as much."""
    return sum(found.values()) > 0 and not found.get(Outcome.FAILED)


def told(found: Counts) -> str:
    """What became of the call's windows."""
    if not found:
        return "No label came: `undertone status` says which stage is behind."
    return "Labels: " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(found.items()))


async def settled(look: Callable[[], Awaitable[Counts]], wait_s: float, look_s: float = LOOK_S) -> Counts:
    """What is found once it is something, and the same twice; else what there is after `wait_s`."""
    before: Counts = {}
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        found = await look()
        if found and found == before:
            break
        before = found
        await asyncio.sleep(look_s)
    return before


async def _labels(settings: Settings, call_id: str, wait_s: float) -> Counts:
    names = [pseudonym(epoch, call_id) for epoch in read_epochs(settings.epochs)]
    async with site.database(settings, "trial") as database:
        return await settled(lambda: outcomes(database, names), wait_s)


async def outcomes(database: Database, names: list[str]) -> Counts:
    """How the windows of a call of these pseudonyms were labelled."""
    counted = select(labels.c.outcome, func.count()).where(labels.c.call.in_(names)).group_by(labels.c.outcome)

    async def work(connection: AsyncConnection) -> Counts:
        return {Outcome(outcome): count for outcome, count in await connection.execute(counted)}

    return await database.transaction(work)
