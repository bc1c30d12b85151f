"""Bundles that never heard one speaker each, for experiments that ask what such a bundle says of that speaker.

Each is trained once and kept in a folder: with a new version of the code, name another one.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.emotion.bundle import Bundle, load_bundle
from services.emotion.features.functionals2 import Functionals2
from services.emotion.manifest import MANIFEST
from services.training.copies import Copies
from services.training.corpora.corpus import Corpus
from services.training.corpora.folder import read_corpus
from services.training.train import Plan, train


@dataclass(frozen=True, slots=True)
class Design:
    """What is trained, on which corpus, and where the bundles are kept."""

    root: Path
    kept: Path
    feature: str
    copies: Copies

    @property
    def corpus(self) -> Corpus:
        """What the bundles are trained on, and whose speakers are left out."""
        return read_corpus(self.root)

    def without(self, *speakers: str) -> Bundle:
        """The bundle that never heard these speakers."""
        folder = self.kept / "-".join((self.feature, self.copies, *speakers))
        if (folder / MANIFEST).exists():
            return load_bundle(folder)
        return train(
            Plan(
                self.root,
                folder,
                feature=self.feature,
                copies=self.copies,
                left_out=speakers,
                scored=False,
                cache=self.kept / "cache",
            )
        )


def speakers(corpus: Corpus) -> list[str]:
    """In order of id."""
    return sorted({each.speaker for each in corpus.segments})


def asked(about: str | None, *, others: bool = False) -> Iterator[Design]:
    """The design that the command line names; with `others` also what it is compared with, which stands first."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("kept", type=Path, help="folder of the bundles")
    parser.add_argument("--feature", default=Functionals2.name)
    parser.add_argument("--copies", type=Copies, default=Copies.LINES_AND_SPEEDS)
    options = parser.parse_args()
    if others:
        yield Design(options.corpus, options.kept, "functionals-1", Copies.NONE)
    yield Design(options.corpus, options.kept, options.feature, options.copies)
