"""`undertone label`: a recording's timeline as a table and a picture."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from services.emotion.bundle import DEMO, Bundle, BundleError, load_bundle
from services.plot import PlotError, plot
from services.recordings import RecordingError, open_recording
from services.timeline import Timeline, check_roles, episodes, timeline
from streams import usecases
from streams.domain.records import Label, Role
from streams.domain.rules import Episode, likeliest
from streams.domain.windows import Fate

app = typer.Typer()

_DEMO_ONLY = "This bundle is for demonstrations: acted speech, wiring only. It must not score real customers."

Recorded = Annotated[Path, typer.Argument(help="The recording: 8 to 48 kHz, PCM or G.711, 1 or 2 channels.")]
Channels = Annotated[str, typer.Option(help="Who is on which channel, in order: customer, agent.")]
Png = Annotated[Path | None, typer.Option(help="Also draw valence and arousal over time into this file.")]
BundleAt = Annotated[Path, typer.Option("--bundle", help="Folder of the model.", show_default="the demo's")]
UseCaseName = Annotated[str, typer.Option(help="The use case whose rules say what would be escalated.")]
UseCases = Annotated[Path | None, typer.Option(help="Folder of use-case YAML files; the built-in demo without.")]


@app.command()
def label(
    file: Recorded,
    *,
    channels: Channels = "agent,customer",
    png: Png = None,
    bundle: BundleAt = DEMO,
    use_case: UseCaseName = "demo",
    use_cases: UseCases = None,
) -> None:
    """Label a recording as the live stream would, without Kafka or a database. Nothing is stored.

    Example: undertone label call.wav --channels agent,customer --png call.png
    """
    try:
        loaded, case = load_bundle(bundle), _use_case(use_case, use_cases)
        found = _heard(file, _roles(channels), loaded, use_case)
        raised = episodes(found, case)
        Console().print(_table(found, raised), _summary(found, raised))
        if loaded.manifest.limits.demo_only:
            Console(stderr=True).print(_DEMO_ONLY, style="yellow")
        if png is not None:
            plot(found, sorted({episode.hits[-1].end_ms for _, episode in raised}), png)
    except (BundleError, PlotError, RecordingError, usecases.UseCaseError) as error:
        Console(stderr=True).print(str(error), markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error


def _use_case(name: str, folder: Path | None) -> usecases.UseCase:
    found = usecases.load(folder)
    if name not in found:
        raise usecases.UseCaseError(f"--use-case {name}: not there; choose one of {', '.join(found)}")
    return found[name]


def _roles(channels: str) -> tuple[Role, ...]:
    try:
        return tuple(Role(name.strip()) for name in channels.split(","))
    except ValueError:
        raise RecordingError(f"--channels {channels}: write {' or '.join(Role)}, one for each channel") from None


def _heard(file: Path, roles: tuple[Role, ...], bundle: Bundle, use_case: str) -> Timeline:
    recording = open_recording(file)
    check_roles(recording, roles)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(file.name, total=recording.duration_ms)
        return timeline(
            recording, roles, bundle, use_case=use_case, on_progress=lambda at_ms: bar.update(task, completed=at_ms)
        )


def _table(found: Timeline, raised: list[tuple[str, Episode]]) -> Table:
    """One row a window; of each dimension the likeliest class of the full head, and below it of the binary head."""
    heads = list(next((row.heads for row in found.labels if row.heads), ()))
    dimensions = list(dict.fromkeys(head.partition(".")[0] for head in heads))
    title = f"{found.recording.path.name}: the customer's windows"
    table = Table("from", "to", *dimensions, Column("remark", overflow="fold"), title=title)
    names = {episode.hits[-1].window_id: f"escalation: {rule}" for rule, episode in raised}
    for row in found.labels:
        cells = [_cell(row, dimension) for dimension in dimensions]
        table.add_row(_clock(row.start_ms), _clock(row.end_ms), *cells, names.get(row.window_id, row.reason or ""))
    return table


def _cell(row: Label, dimension: str) -> str:
    heads = [classes for head, classes in row.heads.items() if head.partition(".")[0] == dimension]
    return "\n".join(f"{likeliest(classes)} {max(classes.values()):.0%}" for classes in heads)


def _summary(found: Timeline, raised: list[tuple[str, Episode]]) -> str:
    customer = found.fates[found.roles.index(Role.CUSTOMER)]
    scored = customer.get(Fate.WINDOW, 0) / 1000
    order = ", ".join(f"{number}: {role}" for number, role in enumerate(found.roles, 1))
    return f"Channels {order}. Windows: {len(found.labels)}, {scored:.1f} s. Escalations: {len(raised)}."


def _clock(ms: int) -> str:
    return f"{ms // 60_000}:{ms % 60_000 / 1000:04.1f}"
