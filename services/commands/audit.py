"""`undertone audit`: whether the trail of who did what is still what was written."""

import asyncio
import re
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from services.commands import site
from streams.domain.trail import Breach, BrokenTrailError, Head, Walk, finish, step
from streams.settings import Settings
from streams.store.audit import length, pages

EXPLAINED = {
    Breach.EDITED: "it is not what was written: a field or its hash was edited",
    Breach.DETACHED: "it does not follow the row before it: rows were deleted, replaced, put in or moved here",
    Breach.UNCHAINED: "it has no hash, and rows before it have: it was put in, or its hash was deleted",
    Breach.CUT: "it was the head that was kept, and is not there: the end was deleted, or all of it written anew",
}

app = typer.Typer()


@app.callback()
def audit() -> None:
    """Verify that the audit trail is what was written."""


@app.command()
def verify(
    *,
    head: Annotated[
        str | None,
        typer.Option(metavar="ID:HASH", help="The head that an earlier run printed, kept out of the database's reach."),
    ] = None,
) -> None:
    """Walk the trail from its beginning; exits with 1 at the first row that shows a change.

    Prints the head, the last row's id and hash. Keep it where whoever can write to the database cannot: only with
    `--head` can it be seen that the trail's end was deleted, or that all of it was written anew.

    For example:

        undertone audit verify

        undertone audit verify --head 1204:9f2c...
    """
    kept = _head(head) if head else None
    try:
        walk = asyncio.run(_walk(site.settings(), kept))
    except BrokenTrailError as broken:
        typer.secho(f"Audit row {broken.id}: {EXPLAINED[broken.breach]}.", fg="red", err=True)
        raise typer.Exit(1) from None
    typer.echo("\n".join(said(walk)))


def said(walk: Walk) -> list[str]:
    """What a trail without a fault tells."""
    lines = [f"{walk.chained} audit rows, each as it was written."]
    if walk.uncovered:
        lines.append(f"{walk.uncovered} older rows have no hash: they were written before there was a chain.")
    if walk.head is not None:
        lines.append(f"Head, to be kept elsewhere: {walk.head.id}:{walk.head.hash}")
    return lines


async def _walk(settings: Settings, kept: Head | None) -> Walk:
    walk, console = Walk(kept), Console(stderr=True)
    async with site.database(settings, "audit") as database:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("audit rows", total=await length(database))
            async for page in pages(database):
                for entry in page:
                    walk = step(walk, entry)
                bar.advance(task, len(page))
    return finish(walk)


def _head(given: str) -> Head:
    matched = re.fullmatch(r"(\d{1,18}):([0-9a-f]{64})", given)
    if matched is None:
        raise site.SiteError("--head: expected ID:HASH, as `undertone audit verify` prints it")
    return Head(int(matched[1]), matched[2])
