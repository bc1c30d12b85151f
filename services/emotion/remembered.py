"""Which bundles were trained on a conversation: they hold features of it, and must be trained again without it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from services.emotion.manifest import MANIFEST, BundleError, conversation_mark, load_manifest


@dataclass(frozen=True, slots=True)
class Remembered:
    """What was found in bundles, or in caches of vectors."""

    looked_into: int = 0
    holding: tuple[Path, ...] = ()  #: that hold features of the conversation
    unreadable: tuple[str, ...] = ()  #: a line for each that may hold it and cannot tell


def bundles_below(folder: Path) -> list[Path]:
    """Every bundle in this folder; where there is none the folder itself, which will then be told as unreadable."""
    return sorted(path.parent for path in folder.rglob(MANIFEST)) or [folder]


def remembering(folders: Iterable[Path], conversations: Collection[str]) -> Remembered:
    """The bundles among these that were trained on one of the conversations, under whichever name it has."""
    marks, holding, unreadable, looked_into = set(map(conversation_mark, conversations)), [], [], 0
    for folder in sorted({folder.resolve() for folder in folders}):
        try:
            manifest, _ = load_manifest(folder)
        except BundleError as error:
            unreadable.append(str(error))
            continue
        looked_into += 1
        if marks.intersection(manifest.training.conversations):
            holding.append(folder)
    return Remembered(looked_into, tuple(holding), tuple(unreadable))
