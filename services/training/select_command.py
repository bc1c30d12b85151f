"""`undertone corpus select`: what is most worth annotating next."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from services.emotion.bundle import load_bundle
from services.training.corpora.folder import read_corpus
from services.training.pool import check_unwritten, hear_pool, unannotated, write_list

Folder = Annotated[Path, typer.Argument(help="Folder of a corpus; segments that are annotated already are left out.")]
Out = Annotated[Path, typer.Argument(help="New CSV file for the annotators: a manifest, the most uncertain first.")]
BundleAt = Annotated[Path, typer.Option("--bundle", help="Folder of the bundle that is to learn more.")]
Budget = Annotated[int, typer.Option(min=1, help="How many segments there is time for.")]
Seed = Annotated[int, typer.Option(help="Another seed: another choice as good.")]


def select(folder: Folder, out: Out, *, bundle: BundleAt, budget: Budget = 100, seed: Seed = 0) -> None:
    """List the segments most worth annotating next: those that a bundle is unsure of and that are unlike each other.

    Annotators fill in `annotator`, `category`, `valence` and `arousal`; `undertone corpus import manifest` reads the
    list back. They are not shown what the bundle thinks, or they would agree with it.

    For example:

        undertone corpus select corpora/support round-2.csv --bundle bundles/support --budget 200
    """
    from services.training.select import select as choose  # noqa: PLC0415 - scikit-learn is an extra

    check_unwritten(out)
    corpus, loaded = read_corpus(folder), load_bundle(bundle)
    left = unannotated(corpus)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("segments", total=len(left))
        pool = hear_pool(loaded, corpus, left, lambda: bar.advance(task))
    chosen = choose(pool.probabilities, pool.vectors, budget, seed=seed)
    write_list(out, corpus, [pool.segments[at] for at in chosen])
    typer.echo(f"{out}: {len(chosen)} of {len(left)} segments that nobody has annotated.")
    for reason, count in pool.passed.most_common():
        typer.secho(f"{count} are not judged by the bundle: {reason}", fg="yellow", err=True)
