"""`undertone erase` and `undertone pseudonym`: what is done to one call, by the id that the site knows it by."""

import asyncio
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from services.commands import site
from services.emotion.remembered import Remembered, bundles_below, remembering
from services.inference.settings import InferenceSettings
from services.training.marks import holding
from streams.domain.privacy import Epoch
from streams.domain.privacy import pseudonym as pseudonym_of
from streams.kafka.admin import AdminError, lives
from streams.settings import Settings
from streams.store.epochs import read_epochs
from streams.store.erasure import DECLARED, Lives, Receipt
from streams.store.erasure import erase as delete
from streams.store.pseudonyms import Name, look_up

app = typer.Typer()

CallId = Annotated[str, typer.Argument(help="The call's raw id, as it was published.")]


@app.command()
def erase(
    call_id: CallId,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="The receipt as one JSON document.")] = False,
) -> None:
    """Erase everything of a call from PostgreSQL, at once and for good.

    Escalations of it that were sent are retracted, and no later record opens the call again. What lies in Kafka's
    topics expires by itself: the receipt says when the last of it is gone, by what the broker has set. All is deleted
    or nothing: exits with 1, and a receipt that says so, where any part failed.

    A bundle that was trained on the call holds features of it: the receipt names it, and it must be trained again
    without the call. Looked into are the bundles in UNDERTONE_BUNDLES, and the one of UNDERTONE_INFERENCE_BUNDLE.

    A cache of features' vectors (the folder of `--cache`, and `cache` in an experiment's results) may hold the call
    too: the receipt names those to delete. Looked into is every cache below UNDERTONE_VECTORS. Recordings and corpora
    are files of your own, which no command deletes.

    For example:

        undertone erase 4711-0815
    """
    settings = site.settings()
    bundles, caches = _remembered(_checked(call_id), settings)
    receipt = asyncio.run(_erase(call_id, settings))
    typer.echo(json.dumps(document(receipt, bundles, caches)) if as_json else printed(receipt, bundles, caches))
    if not receipt.erased:
        raise typer.Exit(1)


@app.command()
def pseudonym(call_id: CallId) -> None:
    """Print the pseudonyms of a call, by which PostgreSQL and the topics know it.

    Each use is put on record in the audit trail. Exits with 1 where PostgreSQL has nothing of the call.

    For example:

        undertone pseudonym 4711-0815
    """
    names = asyncio.run(_look_up(_checked(call_id), site.settings()))
    for name in names:
        typer.echo(f"{name.call}  epoch {name.epoch}  {'known' if name.known else 'unknown here'}")
    if not any(name.known for name in names):
        raise typer.Exit(1)


def printed(receipt: Receipt, bundles: Remembered, caches: Remembered | None) -> str:
    """The receipt, for the person who asked for the erasure; None where no folder of caches is named."""
    head = f"Receipt {receipt.id}, {receipt.erased_at:%Y-%m-%d %H:%M:%S} UTC"
    if not receipt.erased:
        return f"{head}\nNOT ERASED, nothing was deleted: {receipt.failure}"
    rows, retracted = _sums(receipt)
    found = f"{rows} rows deleted, {retracted} retracted" if receipt.known else "there was nothing of this call"
    lines = [head, f"PostgreSQL: {found}; no later record opens it again."]
    for topic, at in receipt.gone_at.items():
        kept = "kept for ever: run `undertone topics apply`"
        lines.append(f"{topic}: {f'gone by {at:%Y-%m-%d %H:%M:%S} UTC' if at else kept}")
    lines += _copies("Bundle", bundles, "train it again without the call")
    if caches is None:
        return "\n".join([*lines, "Caches: none looked into; name their folder in UNDERTONE_VECTORS, if there is one."])
    return "\n".join([*lines, *_copies("Cache", caches, "delete the folder; what is left is computed again")])


def _copies(what: str, found: Remembered, remedy: str) -> Iterator[str]:
    for folder in found.holding:
        yield f"{what} {folder}: holds features of this call; {remedy}."
    for line in found.unreadable:
        yield f"{what} not looked into: {line}"
    if not found.holding:
        yield f"{what}s: {found.looked_into} looked into, none holds features of this call."


def document(receipt: Receipt, bundles: Remembered, caches: Remembered | None) -> dict[str, object]:
    """The receipt, for a program; `erased` is false where any part failed, and then nothing was deleted."""
    rows, retracted = _sums(receipt)
    return {
        "id": receipt.id,
        "erased": receipt.erased,
        "failure": receipt.failure,
        "at": receipt.erased_at.isoformat(),
        "rows": rows,
        "retracted": retracted,
        "gone_at": {topic: at and at.isoformat() for topic, at in receipt.gone_at.items()},
        "bundles": _found(bundles, "retrain"),
        "caches": caches and _found(caches, "delete"),
    }


def _found(found: Remembered, remedy: str) -> dict[str, object]:
    return {
        "looked_into": found.looked_into,
        remedy: [str(folder) for folder in found.holding],
        "unreadable": list(found.unreadable),
    }


def _sums(receipt: Receipt) -> tuple[int, int]:
    deleted = [part.deleted for part in receipt.parts]
    return sum(each.rows for each in deleted), sum(each.retracted for each in deleted)


def _remembered(call_id: str, settings: Settings) -> tuple[Remembered, Remembered | None]:
    """In bundles and caches, under every epoch's pseudonym, and the raw id should a corpus have been named by that."""
    names = {call_id, *(pseudonym_of(epoch, call_id) for epoch in read_epochs(settings.epochs))}
    folders = bundles_below(settings.bundles) if settings.bundles else []
    if served := os.environ.get(f"{InferenceSettings.prefix}BUNDLE"):  # alone: no other setting of its keeps an erasure
        folders.append(Path(served))
    return remembering(folders, names), holding(settings.vectors, names) if settings.vectors else None


async def _erase(call_id: str, settings: Settings) -> Receipt:
    epochs = read_epochs(settings.epochs)
    async with site.database(settings, "erase") as database:
        return await delete(database, call_id, epochs, at=datetime.now(UTC), lives=await _lives(settings))


async def _lives(settings: Settings) -> Lives:
    """As the broker has it; an erasure does not wait for a broker that is down."""
    try:
        with site.kafka(settings):
            async with asyncio.timeout(site.ANSWER_S):
                return await lives(settings)
    except (site.SiteError, AdminError) as error:
        typer.secho(f"The times are those that Undertone declares. {error}", fg="yellow", err=True)
        return DECLARED


async def _look_up(call_id: str, settings: Settings) -> tuple[Name, ...]:
    epochs: tuple[Epoch, ...] = read_epochs(settings.epochs)
    async with site.database(settings, "pseudonym") as database:
        return await look_up(database, call_id, epochs)


def _checked(call_id: str) -> str:
    if not call_id.isprintable() or not call_id.strip():
        raise site.SiteError("CALL_ID: must be printable and not empty; give the id that the call was published with")
    return call_id
