"""`undertone topics`: what is declared, and whether the broker has it."""

import asyncio
from collections.abc import Mapping
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.commands import site
from streams.kafka.admin import apply_topics, partitions_of
from streams.settings import Settings
from streams.topics import MINUTE_MS, TOPICS

app = typer.Typer()


@app.callback()
def topics() -> None:
    """Show the topics, or make the broker have them."""


@app.command()
def show() -> None:
    """Print what is declared, and which topics the broker has; exits with 1 where one is missing.

    For example:

        undertone topics show
    """
    found = asyncio.run(_found(site.settings()))
    Console().print(table(found))
    if not all(found.values()):
        raise typer.Exit(1)


@app.command()
def apply(
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Partitions of every topic.", envvar="UNDERTONE_PARTITIONS")
    ] = None,
) -> None:
    """Create the topics, add partitions, and alter settings until the broker has what is declared.

    For example:

        undertone topics apply --partitions 12
    """
    chosen = site.settings()
    changes = asyncio.run(_apply(chosen.model_copy(update={"partitions": partitions} if partitions else {})))
    typer.echo("\n".join(changes) or "The broker has all of it already.")


def table(found: Mapping[str, int]) -> Table:
    """One row a topic; `found` has its partitions on the broker, 0 for none."""
    shown = Table("topic", "partitions", "kept for", "segment", "largest record")
    for topic in TOPICS:
        shown.add_row(
            topic.name,
            str(found[topic.name] or "missing"),
            _lasting(topic.config.get("retention.ms")),
            _lasting(topic.config.get("segment.ms")),
            f"{size} B" if (size := topic.config.get("max.message.bytes")) else "",
        )
    return shown


def _lasting(ms: str | None) -> str:
    if ms is None:
        return ""
    minutes = int(ms) // MINUTE_MS
    return f"{minutes} min" if minutes < 24 * 60 else f"{minutes // (24 * 60)} d"


async def _found(settings: Settings) -> dict[str, int]:
    with site.kafka(settings):
        return {topic.name: await partitions_of(settings, topic.name) for topic in TOPICS}


async def _apply(settings: Settings) -> list[str]:
    with site.kafka(settings):
        return await apply_topics(settings)
