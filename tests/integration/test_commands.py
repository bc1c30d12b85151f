"""The command line against a real broker and a real server, as a person types it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from services.cli import USER_ERROR, run
from services.standalone.samples import CALM
from streams.store.epochs import create_epochs
from streams.topics import TOPICS

PARTITIONS = 2


@pytest.fixture(autouse=True)
def _site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kafka: str, migrated: str) -> None:
    epochs = tmp_path / "epochs.json"
    create_epochs(epochs, datetime.now(UTC))
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "KAFKA": kafka,
        "POSTGRES": migrated,
        "EPOCHS": str(epochs),
        "PARTITIONS": str(PARTITIONS),
    }.items():
        monkeypatch.setenv(f"UNDERTONE_{name}", value)
    assert run(["topics", "apply"]) == 0


def test_topics_are_applied_once_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["topics", "apply"]) == 0
    assert "has all of it already" in capsys.readouterr().out
    assert run(["topics", "show"]) == 0
    assert "escalations.v1" in capsys.readouterr().out


def test_a_call_without_notice_is_published_and_said_to_be_unscored(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["publish", str(CALM), "--channels", "agent,customer", "--call-id", "mine"]) == 0
    told = capsys.readouterr()
    assert "calm.wav: call mine, 264 records" in told.out
    assert "of calls.v1" in told.out
    assert [line.partition(": ")[2] for line in told.err.splitlines()] == [
        "no consent was given (--consent BASIS)",
        "no notice was given (--notice ID)",
    ]


def test_status_is_one_document_for_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [stage["partitions"] for stage in told["stages"]] == [PARTITIONS] * 3
    assert told["store"]["calls"] == 0
    assert told["concerns"] == []


def test_an_erased_call_gets_a_receipt_and_is_known_from_then_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pseudonym", "some-call"]) == 1
    assert run(["erase", "some-call"]) == 0
    assert "escalations.v1: gone by" in capsys.readouterr().out
    assert run(["pseudonym", "some-call"]) == 0
    assert "some-call" not in capsys.readouterr().out


def test_an_erasure_does_not_wait_for_a_broker_that_is_down(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    monkeypatch.setenv("UNDERTONE_KAFKA", "127.0.0.1:1")
    assert run(["erase", "some-call", "--json"]) == 0
    said = capsys.readouterr()
    assert "The times are those that Undertone declares." in said.err
    assert json.loads(said.out)["erased"]
    assert json.loads(said.out)["gone_at"].keys() == {topic.name for topic in TOPICS}


def test_every_look_up_is_on_record(migrated: str) -> None:
    run(["pseudonym", "some-call"])
    with psycopg.connect(migrated) as connection:
        assert connection.execute("SELECT action, actor FROM audit").fetchall() == [("call.looked_up", "pseudonym")]


@pytest.mark.parametrize("command", ["status", "topics show", "subscribe", f"publish {CALM}"])
def test_a_broker_that_is_down_is_one_line(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    monkeypatch.setenv("UNDERTONE_KAFKA", "127.0.0.1:1")
    assert run(command.split()) == USER_ERROR
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Kafka does not answer on 127.0.0.1:1")


@pytest.mark.parametrize("command", ["status", "erase some-call", "pseudonym some-call"])
def test_a_database_that_is_down_is_one_line_without_its_password(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    monkeypatch.setenv("UNDERTONE_POSTGRES", "postgresql://somebody:secret@127.0.0.1:1/undertone")
    assert run(command.split()) == USER_ERROR
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("PostgreSQL: ")
    assert "UNDERTONE_POSTGRES" in line
    assert "secret" not in line


def test_a_database_without_tables_is_said_with_the_command_that_makes_them(
    postgres: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNDERTONE_POSTGRES", postgres)
    assert run(["erase", "some-call"]) == USER_ERROR
    assert "alembic upgrade head" in capsys.readouterr().err
