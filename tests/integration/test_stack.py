import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from services.cli import USER_ERROR, run
from services.standalone import kafka, postgres
from services.standalone.stack import WORKERS


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def up(folder: Path, *, demo_bundle: bool = True) -> subprocess.Popen[str]:
    """`undertone up` as from a terminal, its output in a file."""
    bundle = ["--demo-bundle"] if demo_bundle else []
    with (folder.parent / "up.txt").open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "services.cli", "up", *bundle, "--folder", str(folder)],
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # Whoever runs the tests in the background has Ctrl-C ignored, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - one call
        )


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    folder = tmp_path_factory.mktemp("stack") / "state"
    process = up(folder)
    said = folder.parent / "up.txt"
    until(lambda: "Ctrl-C stops everything" in said.read_text() or process.poll() is not None)
    assert process.poll() is None, said.read_text()
    yield process, folder
    process.kill()
    process.wait()


Running = tuple[subprocess.Popen[str], Path]


def children(process: subprocess.Popen[str]) -> dict[str, psutil.Process]:
    """The stack's programs by what tells them apart in their command lines."""
    found = {}
    for child in psutil.Process(process.pid).children():
        try:
            line = " ".join(child.cmdline())
        except psutil.Error:  # it ends just now
            continue
        for name, part in {
            "kafka": "kafka.Kafka",
            "postgres": "/postgres -D",
            "inference": "services.inference",
        }.items():
            if part in line:
                found[name] = child
        if match := re.search(r"-m streams (\w+)", line):
            found[match[1]] = child
    return found


def test_everything_runs_and_the_doctor_finds_it_well(stack: Running, capsys: pytest.CaptureFixture[str]) -> None:
    process, folder = stack
    assert children(process).keys() == {"kafka", "postgres", "inference", *WORKERS}
    status, said = run(["doctor", "--folder", str(folder)]), capsys.readouterr().out
    assert status == 0, said
    for what in ("kafka: on", "postgres: its schema is at", "inference: ready", "key epochs: 1 in"):
        assert f"ok  {what}" in said


def test_a_service_that_hangs_is_seen_by_its_liveness_file(stack: Running) -> None:
    _, folder = stack
    until(lambda: {path.name for path in (folder / "alive").iterdir()} == {"inference", *WORKERS})
    file = folder / "alive" / "inference"
    was = file.stat().st_mtime
    until(lambda: file.stat().st_mtime > was)


def test_secrets_are_for_their_owner_alone(stack: Running) -> None:
    _, folder = stack
    for name in ("env", "epochs.json", "postgres/password"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    for name in ("kafka", "postgres/data"):
        assert (folder / name).stat().st_mode & 0o777 == 0o700


def test_another_terminal_finds_the_stack_as_it_is_told_to(
    stack: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = stack
    (told,) = re.findall(r"export UNDERTONE_FOLDER=(.*)", (folder.parent / "up.txt").read_text())
    monkeypatch.setenv("UNDERTONE_FOLDER", told)
    assert run(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["store"]["calls"] == 0


def test_a_second_stack_in_the_folder_is_refused_in_one_line(
    stack: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = stack
    assert run(["up", "--demo-bundle", "--folder", str(folder)]) == USER_ERROR
    (line,) = capsys.readouterr().err.splitlines()
    assert "another stack is running in this folder" in line


@pytest.mark.parametrize("name", ["label", "inference"])
def test_a_program_killed_with_9_is_restarted_and_its_logs_end_is_shown(stack: Running, name: str) -> None:
    process, folder = stack
    before = children(process)[name]
    before.send_signal(signal.SIGKILL)
    until(lambda: (now := children(process).get(name)) and now.pid != before.pid)
    assert f"{name} exited with status -9; it is started again" in (folder.parent / "up.txt").read_text()


def test_ctrl_c_stops_every_process_and_the_folder_is_free_again(stack: Running) -> None:
    process, folder = stack
    programs = list(children(process).values())
    everything = [*programs, *(each for program in programs for each in program.children(recursive=True))]
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert (folder.parent / "up.txt").read_text().endswith("stopped\n")
    assert [program for program in everything if program.is_running()] == []


def test_a_stack_that_cannot_start_says_why_in_one_line_and_leaves_nothing_behind(tmp_path: Path) -> None:
    process = up(tmp_path / "state", demo_bundle=False)
    assert process.wait(120) == 2
    *before, last = (tmp_path / "up.txt").read_text().splitlines()
    assert all(line.startswith(("PostgreSQL on", "Kafka on")) for line in before)
    assert last.startswith("inference does not start: ")
    assert "UNDERTONE_INFERENCE_BUNDLE" in last
    assert not any(str(tmp_path) in " ".join(each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"]))


def test_a_taken_port_is_gone_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(postgres, "STANDARD_PORT", port)
        with postgres.postgres(tmp_path / "postgres") as url, psycopg.connect(url) as connection:
            assert connection.info.port != port


def test_a_broker_that_cannot_start_is_reported_with_its_logs_end(tmp_path: Path) -> None:
    program = kafka.broker(tmp_path, 19092)
    (tmp_path / "data" / "meta.properties").write_text("version=1\nnode.id=77\ncluster.id=x\n")
    with pytest.raises(kafka.StandaloneError, match=r"Kafka did not start(.|\n)*node") as failed:
        _start(program)
    assert str(tmp_path) in str(failed.value)


def _start(program: kafka.Program) -> None:
    with kafka.running(program) as process:
        kafka.wait_until_ready(program, process)
