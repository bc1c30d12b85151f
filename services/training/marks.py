"""Whose windows a cache of vectors holds: a mark for each conversation, as bundles have them, so that erase can ask."""

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from services.emotion.manifest import conversation_mark
from services.emotion.remembered import Remembered

MARKS = "conversations.txt"  #: a mark a line
ROWS = "rows.bin"  #: what a folder that is a cache holds


def note(folder: Path, conversations: Iterable[str]) -> None:
    """Add the conversations to a cache's marks, the whole file or nothing; call it before rows of theirs are written.

    A cache that has rows and no marks is of an older release, and stays one that cannot tell.
    """
    path = folder / MARKS
    if (folder / ROWS).exists() and not path.exists():
        return
    known, wanted = _marks(path), set(map(conversation_mark, conversations))
    if wanted <= known:
        return
    beside = path.with_suffix(".new")
    with beside.open("w") as file:
        file.writelines(f"{mark}\n" for mark in sorted(known | wanted))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def holding(folder: Path, conversations: Collection[str]) -> Remembered:
    """The caches below a folder that hold one of the conversations, under whichever name it has."""
    marks, problems, held = set(map(conversation_mark, conversations)), list[str](), list[Path]()
    caches = _below(folder.resolve(), problems)
    for cache in caches:
        if not (cache / MARKS).exists():
            problems.append(f"{cache}: of an older release, cannot tell whose features it holds; delete it")
        elif marks & _marks(cache / MARKS):
            held.append(cache)
    return Remembered(len(caches), tuple(held), tuple(problems))


def _marks(path: Path) -> set[str]:
    return set(path.read_text().split()) if path.exists() else set()


def _below(folder: Path, problems: list[str]) -> list[Path]:
    """Every cache in a folder; a folder that cannot be looked into is a problem."""

    def tell(error: OSError) -> None:
        problems.append(f"{error.filename}: cannot be looked into ({error.strerror}); look there for {ROWS} yourself")

    return sorted(Path(place) for place, _, names in os.walk(folder, onerror=tell) if ROWS in names)
