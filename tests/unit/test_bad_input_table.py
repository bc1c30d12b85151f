"""`ops/docs/bad-input.md` is complete, and each row of it and of `corpora.md` is held by a test that exists."""

import re
from pathlib import Path

import pytest

from streams.domain.deadletters import Reason

ROOT = Path(__file__).parents[2]
TABLE, CORPORA = (ROOT / "ops" / "docs" / name for name in ("bad-input.md", "corpora.md"))


def rows(table: Path = TABLE) -> list[list[str]]:
    lines = [line for line in table.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.fixture(scope="module")
def tests() -> set[str]:
    found = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)
    return {name for path in (ROOT / "tests").rglob("test_*.py") for name in found.findall(path.read_text())}


@pytest.mark.parametrize("row", rows() + rows(CORPORA), ids=lambda row: row[0][:60])
def test_every_row_is_held_by_tests_that_exist(row: list[str], tests: set[str]) -> None:
    assert len(row) == 4
    assert all(row)
    named = set(re.findall(r"`(test_\w+)`", row[3]))
    assert named
    assert named <= tests


def test_every_reason_has_a_row() -> None:
    outcomes = " ".join(row[1] for row in rows())
    assert {reason for reason in Reason if f"`{reason}`" not in outcomes} == set()
