"""Held-out decisions of every segment, from which every figure, table and interval is made.

One file a system and fold, written whole or not at all: a run that was killed goes on where it stopped. A file's
name ends in a hash of all that its content follows from; another seed, label or recording is another file.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Shares = NDArray[np.float64]
Decisions = NDArray[np.number]  #: (trials, n, classes); the largest of the classes is the label

NO_FEATURE, NO_BAND = "-", "-"  #: of a head kind that hears nothing
ALL = "all"  #: the one fold of a cross-corpus run
_ROWS, _LAYERS, _SECONDS = "rows", "layers", "seconds"
_HEAD, _SHARES = "head ", "probabilities "  #: before the head's name, in a file


@dataclass(frozen=True, slots=True, order=True)
class System:
    """What was judged: a head kind on a feature in a band, learnt on one data set and judged on one."""

    train: str
    test: str
    band: str
    feature: str
    kind: str

    @property
    def name(self) -> str:
        """As reports call it."""
        return self.kind if self.feature == NO_FEATURE else f"{self.feature} {self.kind}"


@dataclass(frozen=True, slots=True)
class Held:
    """What was decided of the segments of one fold."""

    rows: Rows  #: (n,) indices of the segments in the data set that was judged
    decisions: Mapping[str, Decisions] = field(repr=False)  #: of each head
    layers: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  #: (layers,) what a probe said of each
    seconds: float = 0.0  #: of wall time
    #: head -> (n, classes), by sigmoids that were fitted inside the fold's training segments; where these are enough
    probabilities: Mapping[str, Shares] = field(default_factory=dict, repr=False)

    @property
    def layer(self) -> int:
        """The hidden layer that was taken."""
        return int(self.layers.argmax()) if self.layers.size else 0


class Store:
    """A folder of results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, system: System, fold: str, basis: str) -> bool:
        """Whether the fold is done."""
        return self._path(system, fold, basis).is_file()

    def save(self, system: System, fold: str, basis: str, held: Held) -> None:
        """Keep a fold's decisions."""
        path = self._path(system, fold, basis)
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, NDArray[np.number]] = {_HEAD + head: rows for head, rows in held.decisions.items()}
        arrays |= {_SHARES + head: rows for head, rows in held.probabilities.items()}
        arrays |= {_ROWS: held.rows, _LAYERS: held.layers, _SECONDS: np.array(held.seconds)}
        unfinished = path.with_suffix(".part")
        with unfinished.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)

    def load(self, system: System, fold: str, basis: str) -> Held:
        """A fold's decisions, as they were saved."""
        with np.load(self._path(system, fold, basis), allow_pickle=False) as file:
            decisions, shares = (
                {name.removeprefix(prefix): file[name] for name in file.files if name.startswith(prefix)}
                for prefix in (_HEAD, _SHARES)
            )
            return Held(file[_ROWS], decisions, file[_LAYERS], float(file[_SECONDS]), shares)

    def _path(self, system: System, fold: str, basis: str) -> Path:
        data = system.train if system.train == system.test else f"{system.train} to {system.test}"
        parts = [quote(part, safe=" ") for part in (data, system.band, f"{system.feature} {system.kind}")]
        return self.folder.joinpath("held-out", *parts, f"{quote(fold, safe='')}-{basis[:16]}.npz")


def hashed(of: Mapping[str, object]) -> str:
    """sha256 of all that a result follows from."""
    return sha256(json.dumps(of, sort_keys=True, default=str).encode()).hexdigest()


def pooled(parts: Sequence[Held], head: str) -> tuple[Rows, Decisions]:
    """Rows (n,) in order and decisions (trials, n, classes) of all folds together."""
    rows, order = _ordered(parts)
    return rows, np.concatenate([part.decisions[head] for part in parts], axis=1)[:, order]


def pooled_probabilities(parts: Sequence[Held], head: str) -> Shares | None:
    """Probabilities (n, classes) of all folds together, in the same order; None where a fold has none."""
    if not all(head in part.probabilities for part in parts):
        return None
    shares: Shares = np.concatenate([part.probabilities[head] for part in parts])[_ordered(parts)[1]]
    return shares


def _ordered(parts: Sequence[Held]) -> tuple[Rows, Rows]:
    rows = np.concatenate([part.rows for part in parts])
    order = np.argsort(rows, kind="stable")
    return rows[order], order


class Times:
    """How long what took: a line of `times.jsonl` each, whichever run it was."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "times.jsonl"

    def add(self, what: str, seconds: float) -> None:
        """Write one down."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        torn = self._path.is_file() and not self._path.read_bytes().endswith(b"\n")
        with self._path.open("a", encoding="utf-8") as file:
            file.write("\n" * torn + json.dumps({"what": what, "seconds": round(seconds, 3)}) + "\n")

    def total(self) -> float:
        """Seconds altogether."""
        return sum(seconds for _, seconds in self)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.is_file() else []
        for line in lines:
            with suppress(json.JSONDecodeError):  # torn
                entry = json.loads(line)
                yield entry["what"], entry["seconds"]
