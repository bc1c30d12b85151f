"""`undertone up` and `undertone doctor`, as typed. What they do is imported when they are called: it needs an extra."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from services.commands import site
from services.standalone.environment import HERE

app = typer.Typer()

Folder = Annotated[Path, typer.Option(help="Where data, logs and keys are kept.", file_okay=False, envvar=site.FOLDER)]


@app.command()
def up(
    folder: Folder = HERE,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of every topic.")] = 6,
    demo_bundle: Annotated[
        bool,
        typer.Option("--demo-bundle", help="Serve the built-in bundle, which must not score real customers."),
    ] = False,
) -> None:
    """Run Kafka, PostgreSQL, the inference service and the workers on this machine until Ctrl-C.

    Commands in other terminals find it in UNDERTONE_FOLDER, else in `.undertone` of their own folder.
    Without `--demo-bundle`, name a bundle of your own in UNDERTONE_INFERENCE_BUNDLE.

    For example:

        undertone up --demo-bundle

        UNDERTONE_INFERENCE_BUNDLE=bundles/ours undertone up --folder /srv/undertone
    """
    from services.standalone.console import run  # noqa: PLC0415 - see above

    try:
        asyncio.run(run(folder, partitions=partitions, demo_bundle=demo_bundle))
    except (KeyboardInterrupt, asyncio.CancelledError):
        typer.echo("stopped")


@app.command()
def doctor(folder: Folder = HERE) -> None:
    """Say what is missing on this machine, and the command that mends it.

    For example:

        undertone doctor

        undertone doctor --folder /srv/undertone
    """
    from services.standalone.console import examine  # noqa: PLC0415 - see above

    if not asyncio.run(examine(site.settings(folder))):
        raise typer.Exit(1)
