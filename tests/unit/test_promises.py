"""Every promise names a test that holds it, and every such test is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_TEST = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)


def rows() -> list[list[str]]:
    lines = [line for line in (ROOT / "ops/docs/promises.md").read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


PROMISES = [row for row in rows() if not row[0].startswith("**")]


@pytest.fixture(scope="module")
def tests() -> set[str]:
    return {name for path in (ROOT / "tests").rglob("test_*.py") for name in _TEST.findall(path.read_text())}


@pytest.mark.parametrize("row", PROMISES, ids=lambda row: row[0][:60])
def test_every_promise_is_held_by_tests_that_exist(row: list[str], tests: set[str]) -> None:
    promise, held_by = row
    named = re.findall(r"`(\w+)`", held_by)
    assert promise
    assert named
    assert set(named) <= tests


def test_every_section_of_what_must_always_hold_has_promises() -> None:
    sections = [row[0].strip("*") for row in rows() if row[0].startswith("**")]
    assert {"Fails closed", "The customer alone is scored", "Nothing lost, nothing twice", "Bounded"} <= set(sections)
