"""`undertone train`: the command around `train`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from services.emotion.abstention import Band
from services.emotion.bundle import Bundle
from services.emotion.features.functionals2 import Functionals2
from services.emotion.features.sources import Model
from services.emotion.manifest import Head, Score
from services.training.copies import Copies
from streams import usecases
from streams.domain.schemes import EMODB

if TYPE_CHECKING:
    from services.training.train import Plan

app = typer.Typer()

Corpus = Annotated[
    Path, typer.Argument(help="Folder of a corpus: as `undertone corpus` writes it, or labels.csv and recordings.")
]
Out = Annotated[Path, typer.Argument(help="Folder that the bundle and its card are written to.")]
Name = Annotated[str, typer.Option(help="The bundle's name: what the inference service calls its model.")]
FeatureName = Annotated[str, typer.Option("--feature", help="What describes a window to the heads.")]
SchemeName = Annotated[str, typer.Option("--scheme", help="Label scheme: built in, or the YAML file of a use case.")]
Models = Annotated[list[str] | None, typer.Option("--model", help="Folder, file or HUB_ID@COMMIT; one for each asked.")]
Layer = Annotated[int | None, typer.Option(help="Hidden layer of the feature; else what a linear probe chooses.")]
HeadKind = Annotated[Head, typer.Option("--head", help="What judges: networks hear the frames of wav2vec2 or wavlm.")]
Device = Annotated[str, typer.Option(help="Where a feature with weights, and networks, run: cpu, cuda.")]
BandOption = Annotated[Band, typer.Option(help="What of a voice is heard: as on a telephone, or as recorded.")]
CopiesOption = Annotated[Copies, typer.Option(help="Copies of each window that are learnt beside it, never judged.")]
Cache = Annotated[
    Path | None, typer.Option(help="Folder of vectors and learning networks: a stopped run goes on there.")
]
LeaveOut = Annotated[list[str] | None, typer.Option(help="A speaker to keep out of everything; may be repeated.")]


@app.command()
def train(
    corpus: Corpus,
    out: Out,
    *,
    name: Name = "demo",
    feature: FeatureName = Functionals2.name,
    model: Models = None,
    layer: Layer = None,
    head: HeadKind = "svm",
    scheme: SchemeName = EMODB.name,
    band: BandOption = Band.TELEPHONE,
    copies: CopiesOption = Copies.NONE,
    device: Device = "cpu",
    leave_out: LeaveOut = None,
    cache: Cache = None,
) -> None:
    """Train a bundle on labelled speech, scored on speakers that it never heard.

    Example: undertone train emodb4 bundles/mine --leave-out 03 --leave-out 08
    """
    from services.training.train import Plan  # noqa: PLC0415 - needs the train extra, the other commands not

    plan = Plan(
        corpus,
        out,
        name=name,
        scheme=usecases.scheme_named(scheme),
        feature=feature,
        models=tuple(map(_model, model or ())),
        layer=layer,
        head=head,
        device=device,
        band=band,
        copies=copies,
        left_out=tuple(leave_out or ()),
        cache=cache,
    )
    Console().print(_scores(_train(plan)))


def _model(named: str) -> Model:
    """A folder or file, or a hub id with its commit behind an `@`."""
    source, at, revision = named.rpartition("@")
    return Model(source, revision) if at else Model(named)


def _train(plan: "Plan") -> Bundle:
    from services.training.train import train  # noqa: PLC0415 - as above

    with Progress() as bar:

        def progress(what: str, steps: int) -> Callable[[], None]:
            for done in bar.tasks:  # networks have two bars an epoch: a screen has no room for all
                bar.update(done.id, visible=not done.finished)
            task = bar.add_task(what, total=steps)
            return lambda: bar.advance(task)

        return train(plan, progress)


def _scores(bundle: Bundle) -> Table:
    title = f"{bundle.manifest.name}, leaving one {bundle.manifest.training.grouped} out, in % [95 %]"
    table = Table("head", "UAR", "macro-F1", "calibration error", "if it were perfect", title=title)
    for head, figures in bundle.manifest.scores.items():
        table.add_row(head, *(_percent(figures.get(name)) for name in ("uar", "macro_f1", "ece", "ece_if_perfect")))
    return table


def _percent(score: Score | None) -> str:
    return "no probabilities" if score is None else f"{score.value:.1%} [{score.low:.1%}, {score.high:.1%}]"
