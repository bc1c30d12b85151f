"""`undertone demo`: the whole stream on this machine, played and watched."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.calls import roles, usual_roles
from services.emotion.bundle import DEMO
from services.label_command import fitting_bundle
from services.recordings import open_recording
from services.standalone.demo import report
from services.standalone.demo.play import BASIS, NOTICE, Part, fresh, play
from services.standalone.demo.screen import Screen
from services.standalone.demo.view import watched
from services.standalone.samples import SAMPLES
from streams import usecases
from streams.domain.records import Role

STATE = Path(".undertone/demo")
RESULT = Path(".undertone/demo.json")
FAILED = 1

app = typer.Typer()

Call = Annotated[
    list[Path] | None,
    typer.Option("--call", help="A recording of your own, 8 to 48 kHz, PCM or G.711; may be repeated."),
]
Channels = Annotated[
    str | None,
    typer.Option(help="Who is on which channel, in order: customer, agent, mixed; else agent,customer, or mixed."),
]
BundleAt = Annotated[
    Path, typer.Option("--bundle", help="Folder of a bundle of your own, by the name `demo`; else the built-in one.")
]
Speed = Annotated[float, typer.Option(min=0, help="1: in real time; 0: as fast as it goes.")]


@app.command()
def demo(call: Call = None, *, channels: Channels = None, bundle: BundleAt = DEMO, speed: Speed = 0) -> None:
    """Play calls through the whole stream on this machine, and watch.

    Starts Kafka, PostgreSQL, the inference service and the workers afresh, publishes two sample calls (or yours),
    shows each call and every escalation as it is raised, and writes the figures to .undertone/demo.json. Exits with
    1 where not every millisecond is accounted for.

    For example:

        undertone demo

        undertone demo --call mine.wav --channels customer,agent --speed 1
    """
    recordings = [open_recording(path) for path in call or SAMPLES]
    parts = [Part(each, roles(channels or usual_roles(each), each)) for each in recordings]
    case = usecases.load(None)["demo"]
    fitting_bundle(bundle, case)
    screen = Screen(Console(highlight=False), watched(case.rules), live=speed > 0)
    _introduce(screen, parts)
    with fresh(STATE) as folder:
        RESULT.unlink(missing_ok=True)  # a run that fails must not leave another's figures
        found = asyncio.run(_play(folder, parts, bundle.absolute(), speed, screen))
    if not _conclude(screen, found):
        raise typer.Exit(FAILED)


def _introduce(screen: Screen, parts: list[Part]) -> None:
    screen.line("Undertone demo: its model learnt from acted speech. It shows how the parts work together;")
    screen.line("it must not score real customers.", style="yellow")
    for roles_ in dict.fromkeys(part.roles for part in parts):
        names = ", ".join(part.recording.path.name for part in parts if part.roles == roles_)
        order = ", ".join(f"channel {number} {role}" for number, role in enumerate(roles_, 1))
        wrong = "A wrong order would score the agent: see --channels."
        mixed = "Whoever speaks first is taken for the agent; what is not certainly the customer's is not scored."
        nobody = "Nothing of it is scored: no channel is certainly the customer's."
        unnamed = mixed if roles_ == (Role.MIXED,) else nobody
        screen.line(f"{names}: {order}. {wrong if Role.CUSTOMER in roles_ else unnamed}")
    screen.line(f"The demo itself gives notice ({NOTICE}) and consent ({BASIS}).\n")


async def _play(folder: Path, parts: list[Part], bundle: Path, speed: float, screen: Screen) -> report.Report:
    current = asyncio.current_task()
    if current is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, current.cancel)
    return await play(folder, parts, bundle=bundle, speed=speed, screen=screen)


def _conclude(screen: Screen, found: report.Report) -> bool:
    """Print the summary and write `demo.json`; whether every millisecond is accounted for."""
    RESULT.write_text(json.dumps(report.document(found), indent=2) + "\n")
    screen.line("")
    screen.console.print(*report.tables(found))
    screen.line(report.summary(found))
    faults = list(report.faults(found))
    for fault in faults:
        screen.line(fault, style="red")
    screen.line(f"Figures: {RESULT}. Logs: {STATE / 'logs'}.")
    return not faults
