"""A raw call id that got out is found wherever it went."""

from pathlib import Path

import psycopg
import pytest

from ops.chaos.leaks import leaks

IDS = ("chaos-12ab-1", "chaos-34cd-2")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The files of a run that went well."""
    for place in ("logs/segment-a.log", "kafka/data/windows.v1-0/0.log", "kafka/data/calls.v1-0/0.log", "ledger.jsonl"):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0said: nothing\n")
    for place in ("kafka/data/calls.v1-0/0.log", "ledger.jsonl"):  # where raw ids belong
        (tmp_path / place).write_text(IDS[0])
    return tmp_path


def found(site: Path, address: str) -> list[str]:
    return leaks(site, address, IDS, known=site / "ledger.jsonl")


def test_a_run_without_a_leak_has_none(site: Path, migrated: str) -> None:
    assert found(site, migrated) == []


@pytest.mark.parametrize("place", ["logs/segment-a.log", "kafka/data/windows.v1-0/0.log", "alive/calls.v1"])
def test_a_raw_id_in_a_file_is_found(site: Path, migrated: str, place: str) -> None:
    (site / place).parent.mkdir(exist_ok=True)
    (site / place).write_bytes(b"\xff\0" + IDS[1].encode() + b"-3\0")
    assert found(site, migrated) == [place]


def test_a_raw_id_in_any_text_of_a_table_is_found(site: Path, migrated: str) -> None:
    with psycopg.connect(migrated) as connected:
        connected.execute(
            "INSERT INTO audit (action, actor, detail) VALUES ('some', 'one', %s)", (f'{{"of": "{IDS[0]}"}}',)
        )
        connected.commit()
        assert found(site, migrated) == ["table audit"]
