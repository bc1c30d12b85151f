"""`undertone train`: the command around `train`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from services.emotion.bundle import Bundle

app = typer.Typer()

Corpus = Annotated[Path, typer.Argument(help="Folder with labels.csv (path, label, speaker) and its recordings.")]
Out = Annotated[Path, typer.Argument(help="Folder that the bundle and its card are written to.")]
Name = Annotated[str, typer.Option(help="The bundle's name: what the inference service calls its model.")]
LeaveOut = Annotated[list[str] | None, typer.Option(help="A speaker to keep out of everything; may be repeated.")]


@app.command()
def train(corpus: Corpus, out: Out, name: Name = "demo", leave_out: LeaveOut = None) -> None:
    """Train a bundle on acted speech in telephone band, scored on speakers that it never heard.

    Example: undertone train emodb4 bundles/mine --leave-out 03 --leave-out 08
    """
    Console().print(_scores(_train(corpus, out, name, tuple(leave_out or ()))))


def _train(corpus: Path, out: Path, name: str, left_out: tuple[str, ...]) -> Bundle:
    from services.training.train import Plan, train  # noqa: PLC0415 - needs the train extra, the other commands not

    with Progress() as bar:

        def progress(what: str, steps: int) -> Callable[[], None]:
            task = bar.add_task(what, total=steps)
            return lambda: bar.advance(task)

        return train(Plan(corpus, out, name=name, left_out=left_out), progress)


def _scores(bundle: Bundle) -> Table:
    table = Table("head", "UAR", "macro-F1", title=f"{bundle.manifest.name}, leaving one speaker out, in % [95 %]")
    for head, figures in bundle.manifest.scores.items():
        cells = [
            f"{figures[name].value:.1%} [{figures[name].low:.1%}, {figures[name].high:.1%}]"
            for name in ("uar", "macro_f1")
        ]
        table.add_row(head, *cells)
    return table
