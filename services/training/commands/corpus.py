"""`undertone corpus`: annotated speech, from calls to what a model may learn from."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from services.calls import roles
from services.training.corpora.adjudicate import read_verdicts, write_disagreements
from services.training.corpora.check import check as find
from services.training.corpora.corpus import Corpus
from services.training.corpora.density import draw
from services.training.corpora.folder import fingerprint, read_corpus, write_corpus, write_verdicts
from services.training.corpora.iemocap import read_iemocap
from services.training.corpora.labelled_folder import read_labelled_folder
from services.training.corpora.manifest import read_manifest
from services.training.corpora.menu import Menu, menu_of
from services.training.corpora.proposal import as_labelled, propose
from services.training.corpora.recordings import Found
from services.training.corpora.sound import hear
from services.training.corpora.tables import check_new, refuse
from services.training.errors import CorpusError
from services.training.harmonise import harmonise
from services.training.select_command import select
from streams.domain.privacy import Epoch, epoch_at
from streams.domain.schemes import Scheme
from streams.settings import Settings
from streams.store.epochs import create_epochs, read_epochs
from streams.usecases import scheme_named

app = typer.Typer()

Folder = Annotated[Path, typer.Argument(help="Folder of a corpus, or of recordings with a labels.csv.")]
SchemeName = Annotated[
    str | None,
    typer.Option("--scheme", help="emodb, cc-support, cc-debt, iemocap, or a YAML file; else each label is a class."),
]
Calls = Annotated[list[Path], typer.Argument(help="Recordings of calls, each named by the call's id.")]
Annotators = Annotated[list[str], typer.Option("--annotator", help="An annotator's pseudonym; may be repeated.")]
Channels = Annotated[str, typer.Option(help="Who is on which channel, in order: customer, agent.")]
Language = Annotated[str, typer.Option(help="What is spoken, as BCP 47 writes it: es, eu, de-AT.")]
Epochs = Annotated[
    Path | None, typer.Option(help="File of the keys behind pseudonyms, made where it is not; else UNDERTONE_EPOCHS.")
]
Known = Annotated[
    str | None, typer.Option("--scheme", help="Refuse labels that it lacks. For textgrids else what `prepare` left.")
]
KeepUnsound = Annotated[
    bool, typer.Option("--keep-unsound", help="Keep silent and clipped segments, which no bundle would judge.")
]
ReadBack = Annotated[bool, typer.Option("--read-back", help="Take the filled-in verdicts into the corpus.")]
Markdown = Annotated[Path | None, typer.Option(help="Also write the tables into this file.")]
Png = Annotated[Path | None, typer.Option(help="Also draw categories by valence and arousal into this file.")]


class Kind(StrEnum):
    """What a corpus can be imported from."""

    FOLDER = "folder"
    MANIFEST = "manifest"
    TEXTGRIDS = "textgrids"
    IEMOCAP = "iemocap"


@app.callback()
def corpus() -> None:
    """Prepare calls for annotators, import what they say, check it and count it."""


@app.command()
def prepare(
    calls: Calls,
    *,
    out: Annotated[Path, typer.Option(help="New folder for the annotators.")],
    annotators: Annotators,
    channels: Channels = "agent,customer",
    scheme: Annotated[str, typer.Option(help="Whose raw labels annotators choose from.")] = "cc-support",
    language: Language = "",
    epochs: Epochs = None,
) -> None:
    """Cut calls into the live stream's windows, a TextGrid an annotator, under pseudonyms.

    The folder gets, for each call, the customer's channel as PSEUDONYM.wav and an empty PSEUDONYM.ANNOTATOR.TextGrid
    with tiers category, valence and arousal, and LABELS.txt with the labels to choose from. Annotators fill the
    windows in, in Praat; `undertone corpus import textgrids` reads them.

    For example:

        undertone corpus prepare calls/*.wav --out round-1 --annotator ann --annotator bob --language es
    """
    from services.training.corpora.prepare import prepare as write  # noqa: PLC0415 - Praat's files need an extra

    menu = menu_of(scheme_named(scheme))
    with _bar("calls", len(calls)) as tick:
        made = write(
            calls,
            out,
            channels=lambda recording: roles(channels, recording),
            annotators=annotators,
            menu=menu,
            epoch=_epoch(epochs),
            language=language,
            on_call=tick,
        )
    windows = [end - start for call in made for start, end in call.windows]
    typer.echo(f"{out}: {len(made)} calls, {len(windows)} windows, {sum(windows) / 60_000:.1f} min to annotate.")
    for call in made:
        if not call.windows:
            typer.secho(f"{call.call}: the customer says nothing of 2.5 s or more", fg="yellow", err=True)


@app.command("import")
def import_(
    kind: Annotated[Kind, typer.Argument(help="What the source is.")],
    source: Annotated[Path, typer.Argument(help="A folder; of kind manifest, a CSV file.")],
    out: Annotated[Path, typer.Argument(help="New folder for the corpus. Recordings stay where they are.")],
    *,
    scheme: Known = None,
    keep_unsound: KeepUnsound = False,
) -> None:
    """Read a corpus, say everything that is wrong with it, and write it where nothing is.

    folder: recordings and a labels.csv: path, speaker, and label or category, valence, arousal; optional sex,
    text_id, seconds, rate, conversation, session, language.

    manifest: a CSV file with a line a segment and annotator: path (from the file's own folder), speaker, start_ms,
    end_ms (none: all of the file), channel (from 0), conversation, session, sex, language, text_id, annotator,
    category, valence, arousal. Only path and speaker must be there. The annotator `experts` gives verdicts.

    textgrids: NAME.wav with NAME.ANNOTATOR.TextGrid, interval tiers category, valence, arousal; optional
    recordings.csv: path, speaker, conversation, channel, session, sex, language.

    sex is f, m or nothing; it serves figures by sex alone.

    iemocap: the release's folder with Session1 to Session5.

    For example:

        undertone corpus import folder emodb4 corpora/emodb

        undertone corpus import textgrids round-1 corpora/support --scheme cc-support
    """
    check_new(out)
    found = _read(kind, source, menu_of(scheme_named(scheme)) if scheme else None)
    _refuse_unusable(found, keep_unsound=keep_unsound)
    read = found.corpus
    write_corpus(out, read)
    with _bar("recordings", len({segment.recording for segment in read.segments})) as tick:
        sha256 = fingerprint(read, tick)
    speakers = len({segment.speaker for segment in read.segments})
    typer.echo(f"{out}: {len(read.segments)} segments of {speakers} speakers, sha256 {sha256}")


@app.command()
def check(folder: Folder, scheme: SchemeName = None) -> None:
    """Say what is wrong with a corpus, or would mislead a model; exits with 1 where anything is.

    Classes tied to speakers, texts or conversations beyond chance (Cramer's V from 0.5, permutation test), classes
    with one speaker, folds without a class, silent, clipped or corrupt recordings, copies, overlapping segments,
    annotators who judged other segments than the others.

    For example:

        undertone corpus check corpora/support --scheme cc-support
    """
    read, chosen = _opened(folder, scheme)
    with _bar("segments", len(read.segments)) as tick:
        findings = find(read, chosen, tick)
    for line in findings:
        typer.echo(line)
    if findings:
        raise typer.Exit(1)
    typer.echo(f"{folder}: {len(read.segments)} segments, nothing found.")


@app.command()
def scheme(
    folder: Folder, least: Annotated[int, typer.Option(min=1, help="Segments that a label must be on.")] = 30
) -> None:
    """Propose a scheme, as YAML: labels to drop, labels to merge, the majority against the rest.

    Labels on fewer segments are dropped; two labels are merged where two annotators who chose one of them differ in
    30 % or more. Read it, change it, name it with --scheme.

    For example:

        undertone corpus scheme corpora/support > support.yaml
    """
    typer.echo(propose(read_corpus(folder), least).text(), nl=False)


@app.command()
def adjudicate(
    folder: Folder,
    table: Annotated[Path, typer.Argument(help="CSV file for the experts.")],
    *,
    scheme: Annotated[str, typer.Option(help="What counts as the same class: a built-in scheme, or a YAML file.")],
    read_back: ReadBack = False,
) -> None:
    """List what annotators do not agree on for the experts, or take in what they decided.

    Fill in the column `verdict` where you can tell. The column `otherwise` says what a segment is without a verdict.

    For example:

        undertone corpus adjudicate corpora/support experts.csv --scheme cc-support

        undertone corpus adjudicate corpora/support experts.csv --scheme cc-support --read-back
    """
    read, chosen = read_corpus(folder), scheme_named(scheme)
    if read_back:
        verdicts = read_verdicts(table, read, chosen)
        write_verdicts(folder, verdicts)
        typer.echo(f"{folder}: {len(verdicts)} segments have a verdict.")
        return
    if table.exists():
        raise CorpusError(f"{table}: is there already, with verdicts perhaps; name a new file, or say --read-back")
    typer.echo(f"{table}: {write_disagreements(table, read, chosen)} disagreements.")


@app.command()
def statistics(folder: Folder, scheme: SchemeName = None, *, markdown: Markdown = None, png: Png = None) -> None:
    """Count a corpus as the paper's Tables 1 and 2 do: samples and hours by class, agreement, lengths.

    Agreement of annotators is told with Cohen's kappa and the commonest label's share beside it: where one label is
    nearly all there is, kappa is small however often annotators agree.

    For example:

        undertone corpus statistics corpora/support --scheme cc-support --markdown support.md --png support.png
    """
    from services.training.corpora.grids import grids  # noqa: PLC0415 - scikit-learn is an extra

    read, chosen = _opened(folder, scheme)
    found = grids(harmonise(read, chosen))
    for grid in found:
        Console().print(grid.shown())
    if markdown is not None:
        markdown.write_text("\n".join(grid.markdown() for grid in found), encoding="utf-8")
    if png is not None:
        draw(read, chosen, png)


app.command()(select)


def _read(kind: Kind, source: Path, menu: Menu | None) -> Found:
    from services.training.corpora.textgrids import read_textgrids  # noqa: PLC0415 - Praat's files need an extra

    readers: dict[Kind, Callable[[], Found]] = {
        Kind.FOLDER: lambda: read_labelled_folder(source, menu),
        Kind.MANIFEST: lambda: read_manifest(source, menu),
        Kind.TEXTGRIDS: lambda: read_textgrids(source, menu),
        Kind.IEMOCAP: lambda: read_iemocap(source),
    }
    return readers[kind]()


def _refuse_unusable(found: Found, *, keep_unsound: bool) -> None:
    """Listen to all that is there, so that one run says everything that is wrong."""
    with _bar("segments", len(found.corpus.segments)) as tick:
        heard = hear(found.corpus, tick)
    for line in heard.unsound if keep_unsound else ():
        typer.secho(line, fg="yellow", err=True)
    refuse([*found.problems, *heard.unreadable, *(() if keep_unsound else heard.unsound)])


def _opened(folder: Path, named: str | None) -> tuple[Corpus, Scheme]:
    read = read_corpus(folder)
    return read, scheme_named(named) if named else as_labelled(read)


def _epoch(path: Path | None) -> Epoch:
    """The key that pseudonyms are made with now: the site's, so that `undertone erase` finds them; else a new one."""
    now = datetime.now(UTC)
    if path is not None and not path.exists():
        create_epochs(path, now)
        typer.echo(f"{path}: a new key, which alone leads from a pseudonym back to a call. Keep it from annotators.")
    epoch = epoch_at(read_epochs(path or Settings.read(os.environ).epochs), now)
    if epoch is None:
        raise CorpusError("key epochs: none is in use yet; add one, or name another file by --epochs")
    return epoch


@contextmanager
def _bar(what: str, steps: int) -> Iterator[Callable[[], None]]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=steps)
        yield lambda: bar.advance(task)
