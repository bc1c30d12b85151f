"""`undertone subscribe`: escalations as they are raised."""

import asyncio
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from services.commands import moments, site
from services.wording import STYLES, clock, judgements
from streams.domain.records import Escalation
from streams.kafka.cloudevents import decode_escalation
from streams.kafka.payload import to_json
from streams.kafka.publish import Since
from streams.kafka.publish import subscribe as follow
from streams.settings import Settings
from streams.topics import ESCALATIONS

app = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="One JSON document a line, as it lies on the topic.")]
From = Annotated[str, typer.Option("--since", help="latest, earliest, -10m (s, m, h, d), or a time in ISO form.")]


@app.command()
def subscribe(*, as_json: Json = False, since: From = "latest") -> None:
    """Follow escalations as they are raised, until Ctrl-C.

    Times are this machine's; places are minutes and seconds into the call.

    For example:

        undertone subscribe --since -10m

        undertone subscribe --since earliest --json | jq .reference
    """
    start = moments.since(since, datetime.now(UTC))
    with suppress(KeyboardInterrupt):
        asyncio.run(_follow(site.settings(), start, as_json=as_json))


async def _follow(settings: Settings, start: Since, *, as_json: bool) -> None:
    console = Console(highlight=False)
    with site.kafka(settings):
        async with follow(settings, ESCALATIONS.name, decode_escalation, since=start) as escalations:
            if sys.stderr.isatty():
                typer.secho(f"following {ESCALATIONS.name} on {settings.kafka}; Ctrl-C ends", dim=True, err=True)
            async for escalation in escalations:
                if as_json:
                    print_json(escalation)
                else:
                    console.print(told(escalation), soft_wrap=True)


def print_json(escalation: Escalation) -> None:
    """One line on standard output, at once."""
    sys.stdout.write(to_json(escalation).decode() + "\n")
    sys.stdout.flush()


def told(escalation: Escalation) -> Text:
    """An escalation for a person: what and where in a line, why below it."""
    raised = f"{escalation.raised_at.astimezone():%H:%M:%S}"
    if escalation.retracted:
        return Text.assemble(("RETRACTED", "bold magenta"), f"  forget what was raised at {raised}", *_ids(escalation))
    place = f"{clock(escalation.from_ms)}-{clock(escalation.to_ms)}"
    return Text.assemble(
        (raised, "dim"),
        "  ",
        (escalation.severity.upper(), STYLES.get(escalation.severity, "bold")),
        f"  {escalation.rule} ({escalation.use_case}) at {place}",
        (f"  ref {escalation.reference}" if escalation.reference else "", "bold"),
        ("  late: over a minute after it was said" if escalation.late else "", "yellow"),
        f"\n          {judgements(escalation)}",
        *_ids(escalation),
    )


def _ids(escalation: Escalation) -> tuple[tuple[str, str]]:
    return ((f"\n          escalation {escalation.id}, call {escalation.call[:12]}", "dim"),)
