"""`undertone experiment`: run the paper's experiments on one's own corpora, and judge a bundle on an annotated one."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from services.calls import use_case_named
from streams.settings import Settings

app = typer.Typer()

File = Annotated[Path, typer.Argument(help="YAML file that says which corpora, features and head kinds.")]
Out = Annotated[Path | None, typer.Option(help="Folder of results and report; else one of the experiment's name here.")]
Cache = Annotated[Path | None, typer.Option(help="Folder of features' vectors; else `cache` in the results' folder.")]
Device = Annotated[str, typer.Option(help="What encoders and networks run on: cpu or cuda.")]

Bundle = Annotated[Path, typer.Argument(help="Folder of the bundle.")]
Folder = Annotated[Path, typer.Argument(help="Folder of an annotated corpus that the bundle never learnt from.")]
UseCaseName = Annotated[str, typer.Option(help="The use case whose scheme and rules count.")]
UseCases = Annotated[Path | None, typer.Option(help="Folder of use-case YAML files; else UNDERTONE_USE_CASES.")]
Text = Annotated[
    Path | None, typer.Option(help="Write the report under this name: an HTML page, and Markdown beside it.")
]


@app.callback()
def experiment() -> None:
    """Run the paper's experiments on annotated corpora, and judge a bundle on one."""


@app.command()
def run(file: File, *, out: Out = None, cache: Cache = None, device: Device = "cpu") -> None:
    """Judge every feature with every head kind on every corpus, fold by fold, and write a report.

    It goes on where it stopped: whatever is done is kept, and a change of data, labels or seed is done anew.

    A file with what most experiments say; paths begin at its own folder. Folds, bands, cross-corpus pairs, resamples
    and seed have keys too: ops/experiments/paper.yaml is the paper's own.

        name: support
        data: [{corpus: corpora/support, scheme: cc-support}]
        features: [functionals-1, {name: wavlm, models: [{source: models/wavlm-large}]}]
        heads: [random, majority, svm, dnn-sp]

    Example: undertone experiment run support.yaml --out results
    """
    # Needs the train extra, which the other commands do without.
    from services.training import experiment as experiments  # noqa: PLC0415
    from services.training.plan import read_plan  # noqa: PLC0415
    from services.training.report.contents import report  # noqa: PLC0415
    from services.training.report.write import write_report  # noqa: PLC0415
    from services.training.sources import on_disk  # noqa: PLC0415

    plan = read_plan(file)
    folder = out or Path(plan.name)
    with _bars() as bars:

        def progress(what: str, steps: int) -> Callable[[], None]:
            task = bars.add_task(what, total=steps)
            return lambda: bars.advance(task)

        sources = on_disk(file.parent, cache or folder / "cache", device)
        done = experiments.run(plan, sources, folder, progress, device=device)
        judged = sum(len(parts[0][0].heads) for parts in done.held.values())
        written = write_report(folder, report(done, progress("intervals", judged)))
    Console().print(f"{written}: open it in a browser; {written.with_suffix('.md')} says the same.")


@app.command()
def accept(
    bundle: Bundle, corpus: Folder, *, use_case: UseCaseName = "demo", use_cases: UseCases = None, out: Text = None
) -> None:
    """Judge a bundle on annotated calls of a site's own: its classes, and what the escalation rules make of them.

    Example: undertone experiment accept bundles/support corpora/support --use-case support --out acceptance.html
    """
    from services.emotion.bundle import load_bundle  # noqa: PLC0415 - as above
    from services.training.acceptance import accept  # noqa: PLC0415
    from services.training.corpora.folder import fingerprint, read_corpus  # noqa: PLC0415
    from services.training.report.acceptance import acceptance_text, write_acceptance  # noqa: PLC0415

    case = use_case_named(use_case, use_cases or Settings.read(os.environ).use_cases)
    loaded, annotated = load_bundle(bundle), read_corpus(corpus)
    with _bars() as bars:
        task = bars.add_task("calls", total=len({segment.conversation for segment in annotated.segments}))
        found = accept(loaded, case, annotated, lambda: bars.advance(task))
    if out is None:
        Console().print(Markdown(acceptance_text(found, fingerprint(annotated))))
    else:
        page, text = write_acceptance(out, found, fingerprint(annotated))
        Console().print(f"{page}: open it in a browser; {text} has the same tables.")


def _bars() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
