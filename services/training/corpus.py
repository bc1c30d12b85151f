"""A corpus as a folder: recordings and a `labels.csv`, read at the telephone's band."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from services.training.audio import telephoned
from services.training.errors import CorpusError

COLUMNS = ("path", "label", "speaker")


@dataclass(frozen=True, slots=True)
class Recording:
    """One labelled window of one speaker."""

    path: Path
    label: str
    speaker: str


def read_corpus(folder: Path) -> list[Recording]:
    """The recordings that `labels.csv` names. CorpusError with every line that cannot be used."""
    table = folder / "labels.csv"
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{table}: cannot be read ({error}); a corpus is a folder with labels.csv") from error
    found = ((line, problem) for line, row in enumerate(rows, 2) for problem in _problems(folder, row))
    problems = [f"{table}, line {line}: {problem}" for line, problem in found]
    if problems or not rows:
        raise CorpusError("\n".join(problems) or f"{table}: no recordings; columns are {', '.join(COLUMNS)}")
    return [Recording(folder / row["path"], row["label"], row["speaker"]) for row in rows]


def _problems(folder: Path, row: dict[str, str | None]) -> list[str]:
    missing = [f"no {column}" for column in COLUMNS if not row.get(column)]
    path = row.get("path")
    if path and not (folder / path).is_file():
        missing.append(f"{path}: no such file")
    return missing


def fingerprint(folder: Path, recordings: Sequence[Recording]) -> str:
    """sha256 over paths, labels, speakers and bytes, whatever the order of the lines."""
    lines = []
    for item in recordings:
        content = sha256(item.path.read_bytes()).hexdigest()
        lines.append("\t".join((item.path.relative_to(folder).as_posix(), item.label, item.speaker, content)))
    return sha256("\n".join(sorted(lines)).encode()).hexdigest()


def telephone(path: Path) -> NDArray[np.float32]:
    """The recording's first channel as a telephone passes it: 8 kHz, through G.711 mu-law and back; full scale 1."""
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise CorpusError(f"{path}: cannot be read as audio ({error})") from error
    if not np.isfinite(samples).all():
        raise CorpusError(f"{path}: holds samples that are no numbers")
    return telephoned(samples[:, 0], rate)
