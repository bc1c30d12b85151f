"""CSV tables, read with every problem of every line, and folders that are written as a whole or not at all."""

import csv
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from services.training.corpora.corpus import SEXES
from services.training.errors import CorpusError


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table: its cells by column, without spaces around them; `place` names file and line."""

    place: str
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")

    def whole(self, column: str, problems: list[str]) -> int | None:
        """The cell as a whole number from 0; None, and a problem, where it is none."""
        try:
            number = int(self[column])
        except ValueError:
            number = -1
        if number >= 0:
            return number
        problems.append(f"{self.place}: {column} is {self[column]!r}; write a whole number from 0")
        return None


def read_table(path: Path, required: Sequence[str], optional: Sequence[str] = (), *, problems: list[str]) -> list[Row]:
    """The rows that have every required cell. What is wrong with the others is added to `problems`, a line each."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = reader.fieldnames or ()
            lines = [(reader.line_num, line) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error  # an OSError's own words name the path again
        problems.append(f"{path}: cannot be read ({reason}); give UTF-8 CSV with columns {', '.join(required)}")
        return []
    if faults := list(_columns(path, header, required, optional)):
        problems += faults
        return []
    rows = [_row(f"{path}, line {number}", line, required, problems) for number, line in lines]
    return [row for row in rows if row is not None]


def _columns(path: Path, header: Sequence[str], required: Sequence[str], optional: Sequence[str]) -> Iterable[str]:
    known = ", ".join((*required, *optional))
    missing = [column for column in required if column not in header]
    unknown = [column for column in header if column not in {*required, *optional}]
    if missing:
        yield f"{path}: no column {', '.join(missing)}; the columns are {known}"
    if unknown:
        yield f"{path}: unknown column {', '.join(map(repr, unknown))}; remove it or use one of {known}"


def _row(place: str, line: Mapping[str | None, object], required: Sequence[str], problems: list[str]) -> Row | None:
    if None in line:
        problems.append(f"{place}: more cells than columns; put commas in quotes")
        return None
    row = Row(place, {str(column): str(cell or "").strip() for column, cell in line.items()})
    missing = [f"{place}: no {column}" for column in required if not row[column]]
    problems += missing
    if row["sex"] not in {"", *SEXES}:  # the same column in every table that has it
        problems.append(f"{place}: sex is {row['sex']!r}; write {' or '.join(SEXES)}, or nothing where it is not known")
    return None if missing else row


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write the columns of these rows; what a row lacks is an empty cell."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def check_new(folder: Path) -> None:
    """Refuse a folder that holds something (CorpusError)."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CorpusError(f"{folder}: is there already; name a new folder, or remove it")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into, its owner's alone, that becomes `folder` when all went well and else is gone."""
    check_new(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield made
        made.replace(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def refuse(problems: Sequence[str]) -> None:
    """Raise a CorpusError that holds every problem, a line each, where there is one."""
    if problems:
        raise CorpusError("\n".join(problems))
