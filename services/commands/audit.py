"""`undertone audit`: whether the trail of who did what is still what was written."""

import asyncio
import re
from pathlib import Path
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
    Breach.STRIPPED: "it has no hash, and no row with one says that such rows are older: their hashes were deleted",
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
        typer.Option(
            metavar="ID:HASH", help="A head that an earlier run printed or the relay logged: it must be there."
        ),
    ] = None,
) -> None:
    """Walk the trail from its beginning; exits with 1 at the first row that shows a change.

    Prints the head, the last row's id and hash, and keeps it in a file beside the stack: the next run must meet it
    again, else the trail's end was deleted, or all of it written anew. The relay logs the head each hour. Who can
    write to that file too is found out by `--head` alone, with a head from where nobody could.

    For example:

        undertone audit verify

        undertone audit verify --head 1204:9f2c...
    """
    given = {_head(head, "--head")} if head else set()
    settings, file = site.settings(), site.kept("audit-head")
    last = {_head(file.read_text(), str(file))} if file.exists() else set()
    try:
        walk = asyncio.run(_walk(settings, frozenset(given | last)))
    except BrokenTrailError as broken:
        typer.secho(f"Audit row {broken.id}: {EXPLAINED[broken.breach]}.", fg="red", err=True)
        if broken.breach is Breach.CUT and last:
            typer.echo(
                f"Where the database was made anew or restored by you, delete {file} and verify again.", err=True
            )
        raise typer.Exit(1) from None
    typer.echo("\n".join(said(walk)))
    if walk.head is not None:
        _keep(walk.head, file)


def said(walk: Walk) -> list[str]:
    """What a trail without a fault tells."""
    lines = [f"{walk.chained} audit rows, each as it was written."]
    if walk.uncovered:
        lines.append(f"{walk.uncovered} older rows have no hash: they were written before there was a chain.")
    if walk.head is not None:
        lines.append(f"Head, to be kept elsewhere: {walk.head}")
    return lines


async def _walk(settings: Settings, kept: frozenset[Head]) -> Walk:
    walk, console = Walk(kept), Console(stderr=True)
    async with site.database(settings, "audit") as database:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("audit rows", total=await length(database))
            async for page in pages(database):
                for entry in page:
                    walk = step(walk, entry)
                bar.advance(task, len(page))
    return finish(walk)


def _head(said: str, where: str) -> Head:
    matched = re.fullmatch(r"(\d{1,18}):([0-9a-f]{64})", said.strip())
    if matched is None:
        raise site.SiteError(f"{where}: expected ID:HASH, as `undertone audit verify` prints it")
    return Head(int(matched[1]), matched[2])


def _keep(head: Head, file: Path) -> None:
    """Write the head down, all of it or nothing; say so where it cannot be, for then somebody else must keep it."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(".new")
        new.write_text(f"{head}\n")
        new.replace(file)
    except OSError as error:
        typer.echo(f"{file}: {error.strerror}: keep the head yourself, and give it with --head", err=True)
