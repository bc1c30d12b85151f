"""`undertone study`: forms for a listener and a reader of the same calls, and how far the two agree."""

import os
import random
from collections.abc import Callable, Sequence
from math import isnan
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from services.calls import RolesError, roles, use_case_named
from services.emotion.bundle import Bundle
from services.label_command import DEMO_ONLY, BundleAt, UseCaseName, UseCases, fitting_bundle
from services.recordings import Recording, RecordingError, open_recording
from services.study_folder import write_study
from services.timeline import Timeline, check_roles, timeline
from services.training.corpora.tables import check_new
from services.training.study import Agreement, StudyError, compare, read_forms
from streams.domain.evolution import meaning
from streams.domain.records import Role
from streams.settings import Settings
from streams.usecases import UseCase

app = typer.Typer(help="Let a listener and a reader judge the same calls, and compare what they say.")

Calls = Annotated[list[Path], typer.Argument(help="Recordings, or folders of them: at least one call.")]
Out = Annotated[Path, typer.Option(help="New folder that both forms are written to, with the key to the calls' names.")]
Seed = Annotated[int, typer.Option(help="Another seed: another order of the calls.")]
Side = Annotated[Role, typer.Option(help="Whose emotions are judged: the customer's, nobody else's.")]
Form = Annotated[Path, typer.Argument(help="A form, filled in: CSV.")]

_AUDIO = {".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".au"}


Channels = Annotated[str, typer.Option(help="Who is on which channel, in order: customer, agent.")]


@app.command()
def prepare(
    calls: Calls,
    *,
    out: Out,
    channels: Channels = "agent,customer",
    bundle: BundleAt = None,
    use_case: UseCaseName = "demo",
    use_cases: UseCases = None,
    seed: Seed = 0,
    side: Side = Role.CUSTOMER,
) -> None:
    """Make a listener's form and a reader's form of the same calls, under pseudonyms and in random order.

    The listener hears the calls and sees nothing of what the models say; the reader sees that alone and hears nothing.
    Give each of them their folder; keep `key.csv`, which names the recordings, and `automatic.csv`, which has the
    program's own answers, to yourself. The listener's folder leads to the recordings by links, as none is copied:
    follow them where you hand it over.

    Example: undertone study prepare calls/ --out study --channels agent,customer
    """
    _check_side(side)
    case = use_case_named(use_case, use_cases or Settings.read(os.environ).use_cases)
    if meaning(case.scheme) is None:
        raise StudyError(
            f"--use-case {use_case}: scheme {case.scheme.name!r} does not tell which category is neutral and which"
            " classes of valence and arousal are negative and excited; merge them from the annotators' menu"
        )
    check_new(out)
    loaded = fitting_bundle(bundle, case)
    heard = _heard(shuffled(_opened(_files(calls), channels), seed), channels, loaded, case)
    write_study(out, heard, case)
    if loaded.manifest.limits.demo_only:
        Console(stderr=True).print(DEMO_ONLY, style="yellow")
    typer.echo(f"{len(heard)} calls. Give out {out / 'listener'} and {out / 'reader'}; keep the rest to yourself.")


@app.command(name="compare")
def compare_(listener: Form, reader: Form) -> None:
    """Say how far two forms agree, with exact 95 % intervals, and on which calls they do not.

    `automatic.csv` may stand in for either: how far the program's own answers agree with a person's.

    Example: undertone study compare study/listener/form.csv study/reader/form.csv
    """
    found = compare(*read_forms(listener, reader))
    Console().print(_table(found))
    for line in _differences(found):
        typer.echo(line)


def shuffled(recordings: Sequence[Recording], seed: int) -> list[Recording]:
    """The recordings in the order of this seed, so that neither their names nor their dates tell anything."""
    return random.Random(seed).sample(recordings, len(recordings))  # noqa: S311 - an order that can be repeated


def _check_side(side: Role) -> None:
    if side is not Role.CUSTOMER:
        raise StudyError(
            f"--side {side}: only the customer is judged. To infer the emotions of people at work is prohibited in the"
            " EU (AI Act, Article 5(1)(f)); a lawful exception must be named in the settings, which this version cannot"
        )


def _files(given: Sequence[Path]) -> list[Path]:
    """The recordings that were named, those of a folder in the order of their names. Raises StudyError."""
    found, problems = list[Path](), list[str]()
    for path in given:
        inside = sorted(each for each in path.iterdir() if each.suffix.lower() in _AUDIO) if path.is_dir() else [path]
        found += inside
        problems += [] if inside else [f"{path}: no recordings in it; the suffixes are {', '.join(sorted(_AUDIO))}"]
    resolved = [path.resolve() for path in found]
    problems += [
        f"{path}: named twice; name it once" for path in sorted({p for p in resolved if resolved.count(p) > 1})
    ]
    _refuse(problems)
    return found


def _opened(files: Sequence[Path], channels: str) -> list[Recording]:
    """Every recording, fit to be heard. StudyError: every problem of every file."""
    found, problems = list[Recording](), list[str]()
    for file in files:
        try:
            recording = open_recording(file)
            check_roles(recording, roles(channels, recording))
            found.append(recording)
        except (RecordingError, RolesError) as error:
            problems.append(str(error))
    _refuse(problems)
    return found


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise StudyError("\n".join(problems))


def _heard(recordings: Sequence[Recording], channels: str, bundle: Bundle, case: UseCase) -> list[Timeline]:
    """What is heard of each; a file that turns out damaged does not keep the others from being tried."""
    found, problems, done_ms = list[Timeline](), list[str](), 0
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("hearing the calls", total=sum(recording.duration_ms for recording in recordings))
        for recording in recordings:
            who, progress = roles(channels, recording), _progress(bar, task, done_ms)
            try:
                found.append(timeline(recording, who, bundle, use_case=case, on_progress=progress))
            except RecordingError as error:
                problems.append(str(error))
            done_ms += recording.duration_ms
    _refuse(problems)
    return found


def _progress(bar: Progress, task: TaskID, done_ms: int) -> Callable[[int], None]:
    return lambda at_ms: bar.update(task, completed=done_ms + at_ms)


def _table(found: Sequence[Agreement]) -> Table:
    table = Table("", "agree", "share [exact 95 %]", "Cohen's kappa", title="The listener and the reader")
    for each in found:
        share = f"{each.share.value:.0%} [{each.share.low:.0%}, {each.share.high:.0%}]"
        kappa = "-" if isnan(each.kappa) else f"{each.kappa:.2f}"
        table.add_row(each.question, f"{each.matched} of {each.calls}", share, kappa)
    return table


def _differences(found: Sequence[Agreement]) -> list[str]:
    return [
        f"{difference.call}, {each.question}: listener {difference.listener}, reader {difference.reader}"
        for each in found
        for difference in each.differences
    ]
