"""`undertone up` and `undertone doctor`, as typed. What they do is imported when they are called: it needs an extra."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from services.standalone.errors import StandaloneError

STATE = Path(".undertone")
app = typer.Typer()

Folder = Annotated[Path, typer.Option(help="Where data, logs and keys are kept.", file_okay=False)]


@app.command()
def up(
    folder: Folder = STATE,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of every topic.")] = 6,
    demo_bundle: Annotated[
        bool,
        typer.Option("--demo-bundle", help="Serve the built-in bundle, which must not score real customers."),
    ] = False,
) -> None:
    """Run Kafka, PostgreSQL, the inference service and the workers on this machine until Ctrl-C.

    Other terminals reach it from the same folder. Without `--demo-bundle`, name a bundle of your own in
    UNDERTONE_INFERENCE_BUNDLE.

    For example:

        undertone up --demo-bundle

        UNDERTONE_INFERENCE_BUNDLE=bundles/ours undertone up --folder /srv/undertone
    """
    with _one_line():
        from services.standalone.console import run  # noqa: PLC0415 - see above

        asyncio.run(run(folder, partitions=partitions, demo_bundle=demo_bundle))


@app.command()
def doctor(folder: Folder = STATE) -> None:
    """Say what is missing on this machine, and the command that mends it.

    For example:

        undertone doctor

        undertone doctor --folder /srv/undertone
    """
    with _one_line():
        from services.standalone.console import examine  # noqa: PLC0415 - see above

        if not asyncio.run(examine(folder)):
            raise typer.Exit(1)


@contextmanager
def _one_line() -> Iterator[None]:
    """End the command with one clear line where it cannot go on."""
    try:
        yield
    except StandaloneError as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(2) from None
    except ModuleNotFoundError as error:
        typer.secho(f"{error.name} is not installed: pip install 'undertone[standalone]'", fg="red", err=True)
        raise typer.Exit(2) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        typer.echo("stopped")
