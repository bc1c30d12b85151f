"""`undertone label`: a recording's timeline as a table and a picture."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from services.calls import roles, use_case_named, usual_roles
from services.emotion.bundle import DEMO, Bundle, load_bundle
from services.emotion.manifest import BundleError
from services.inference.settings import InferenceSettings
from services.plot import plot
from services.recordings import open_recording
from services.timeline import Timeline, episodes, evolved, timeline
from services.wording import judgement, told
from streams.domain.evolution import Evolution
from streams.domain.records import Label, Role
from streams.domain.roles import told_apart
from streams.domain.rules import Episode, said
from streams.domain.scoring import Served, fits
from streams.domain.windows import Fate
from streams.settings import Settings
from streams.speech.telling import open_telling
from streams.usecases import UseCase

app = typer.Typer()

DEMO_ONLY = "This bundle is for demonstrations: acted speech, wiring only. It must not score real customers."

Recorded = Annotated[Path, typer.Argument(help="The recording: 8 to 48 kHz, PCM or G.711, 1 or 2 channels.")]
Channels = Annotated[
    str | None,
    typer.Option(help="Who is on which channel, in order: customer, agent, mixed; else agent,customer, or mixed."),
]
Png = Annotated[Path | None, typer.Option(help="Also draw the call: its turns, valence, arousal, evolution.")]
BundleAt = Annotated[Path | None, typer.Option("--bundle", help="Folder of the model; else as the use case asks.")]
UseCaseName = Annotated[str, typer.Option(help="The use case whose rules say what would be escalated.")]
UseCases = Annotated[Path | None, typer.Option(help="Folder of use-case YAML files; else UNDERTONE_USE_CASES.")]


@app.command()
def label(
    file: Recorded,
    *,
    channels: Channels = None,
    png: Png = None,
    bundle: BundleAt = None,
    use_case: UseCaseName = "demo",
    use_cases: UseCases = None,
) -> None:
    """Label a recording as the live stream would, without Kafka or a database. Nothing is stored.

    The bundle must be the one that the use case asks for: its folder is `--bundle`, else UNDERTONE_INFERENCE_BUNDLE,
    else the built-in one of that name. Two voices on one channel are told apart as the stream does, with the networks
    that UNDERTONE_SPEAKER_EMBEDDING and UNDERTONE_SEGMENTATION name, where they do.

    Example: undertone label call.wav --channels agent,customer --png call.png
    """
    said = Settings.read(os.environ)
    case = use_case_named(use_case, use_cases or said.use_cases)
    loaded = fitting_bundle(bundle, case)
    found = _heard(file, channels, loaded, case, said)
    raised, evolution = episodes(found, case), evolved(found, case)
    Console().print(_table(found, raised))
    Console().print(_summary(found, raised, evolution))
    if loaded.manifest.limits.demo_only:
        Console(stderr=True).print(DEMO_ONLY, style="yellow")
    if png is not None:
        plot(found, sorted({episode.hits[-1].end_ms for _, episode in raised}), png, evolution)


def fitting_bundle(folder: Path | None, case: UseCase) -> Bundle:
    """The bundle in this folder, else the one that the use case asks for. Raises BundleError where it does not fit."""
    return _fitting(load_bundle(folder or _bundle_of(case)), case)


def _bundle_of(case: UseCase) -> Path:
    """The folder of the bundle that the use case asks for: what the inference service is told, else a built-in one."""
    told = InferenceSettings.read(os.environ)
    if "bundle" in told.model_fields_set:
        return told.bundle
    if (built_in := DEMO.parent / case.bundle).is_dir():
        return built_in
    raise BundleError(
        f"use case {case.name} asks for bundle {case.bundle!r}: name its folder with --bundle or in"
        " UNDERTONE_INFERENCE_BUNDLE"
    )


def _fitting(bundle: Bundle, case: UseCase) -> Bundle:
    """The bundle, where the live stream would take its labels for this use case: every other window fails there."""
    served = Served(bundle.manifest.name, bundle.manifest.limits.demo_only)
    wanted = Served(case.bundle, case.demo)
    if served != wanted:
        raise BundleError(f"--bundle: is {_told(served)}, use case {case.name} asks for {_told(wanted)}; name that one")
    if not fits(bundle.manifest.scheme.heads, case.scheme):
        raise BundleError(
            f"--bundle: {bundle.manifest.name!r} does not tell apart what scheme {case.scheme.name!r} of use case"
            f" {case.name} does; train it on that scheme, or correct the use case"
        )
    if lacking := sorted(case.asked.bounded.intersection(bundle.manifest.uncalibrated)):
        raise BundleError(
            f"--bundle: {bundle.manifest.name!r} gives no probabilities of {', '.join(lacking)}, which a rule of"
            f" use case {case.name} asks for; write the rule with any_of, or train on more windows of every class"
        )
    return bundle


def _told(served: Served) -> str:
    return f"{served.name!r}{' for demonstrations only' if served.demo else ''}"


def _heard(file: Path, channels: str | None, bundle: Bundle, use_case: UseCase, said: Settings) -> Timeline:
    recording = open_recording(file)
    who = roles(channels or usual_roles(recording), recording)
    mixed = told_apart(who, use_case.one_channel) is not None
    telling = open_telling(said.speaker_embedding, said.speaker_space, said.segmentation) if mixed else None
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(file.name, total=recording.duration_ms)

        def show(at_ms: int) -> None:
            bar.update(task, completed=at_ms)

        return timeline(recording, who, bundle, use_case=use_case, telling=telling, on_progress=show)


def _table(found: Timeline, raised: list[tuple[str, Episode]]) -> Table:
    """One row a window; of each dimension the class of the full head, and below it of the binary head."""
    heads = list(next((classes for row in found.labels if (classes := said(row))), ()))
    dimensions = list(dict.fromkeys(head.partition(".")[0] for head in heads))
    title = f"{found.recording.path.name}: the customer's windows"
    table = Table("from", "to", *dimensions, Column("remark", overflow="fold"), title=title)
    names = {episode.hits[-1].window_id: f"escalation: {rule}" for rule, episode in raised}
    for row in found.labels:
        cells = [_cell(row, dimension) for dimension in dimensions]
        table.add_row(_clock(row.start_ms), _clock(row.end_ms), *cells, names.get(row.window_id, row.reason or ""))
    return table


def _cell(row: Label, dimension: str) -> str:
    return "\n".join(judgement(row, head) for head in said(row) if head.partition(".")[0] == dimension)


def _summary(found: Timeline, raised: list[tuple[str, Episode]], evolution: Evolution | None) -> str:
    customer = found.fates[found.roles.index(Role.CUSTOMER) if Role.CUSTOMER in found.roles else 0]
    scored = customer.get(Fate.WINDOW, 0) / 1000
    order = ", ".join(f"{number}: {role}" for number, role in enumerate(found.roles, 1))
    counted = f"Channels {order}. Windows: {len(found.labels)}, {scored:.1f} s. Escalations: {len(raised)}."
    return f"{counted}\n{told(evolution)}" if evolution else counted


def _clock(ms: int) -> str:
    return f"{ms // 60_000}:{ms % 60_000 / 1000:04.1f}"
