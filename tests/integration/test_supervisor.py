import ast
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from services.standalone.processes import Program, running, start, stop
from services.standalone.supervisor import Incident, Supervisor

SLEEP = "import time; print('up', flush=True); time.sleep(600)"


def python(name: str, code: str, folder: Path, **more: object) -> Program:
    return Program(name, (sys.executable, "-c", code), log=folder / f"{name}.log", **more)  # type: ignore[arg-type]


def until(holds: Callable[[], object], *, look: Callable[[], None] = lambda: None) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        look()
        time.sleep(0.02)


@pytest.fixture
def incidents() -> list[Incident]:
    return []


@pytest.fixture
def supervisor(incidents: list[Incident]) -> Iterator[Supervisor]:
    made = Supervisor(incidents.append)
    yield made
    made.stop()


def pid(supervisor: Supervisor, name: str) -> int:
    process = supervisor.process(name)
    assert process is not None
    return process.pid


def test_a_program_works_by_the_settings_that_it_is_given_and_by_none_of_its_starter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("UNDERTONE_USE_CASES", "UNDERTONE_KAFKA", "UNDERTONE_TYPO", "ELSE"):
        monkeypatch.setenv(name, "the starter's")
    code = "import os; print({n: v for n, v in os.environ.items() if n.startswith(('UNDERTONE_', 'ELSE'))})"
    program = python("told", code, tmp_path, env={"UNDERTONE_KAFKA": "given"})
    assert start(program).wait(30) == 0
    assert ast.literal_eval(program.log.read_text()) == {"ELSE": "the starter's", "UNDERTONE_KAFKA": "given"}


def test_a_program_killed_with_9_is_started_again_and_counted(
    supervisor: Supervisor, incidents: list[Incident], tmp_path: Path
) -> None:
    program = python("worker", SLEEP, tmp_path)
    supervisor.add(program)
    until(lambda: "up" in program.log.read_text())
    first = pid(supervisor, "worker")
    os.kill(first, signal.SIGKILL)
    until(lambda: supervisor.restarts["worker"] == 1, look=supervisor.look)
    assert pid(supervisor, "worker") != first
    assert [(each.program, each.reason) for each in incidents] == [("worker", "exited with status -9")]
    assert incidents[0].log == ("up",)


def test_a_program_that_no_longer_touches_its_file_is_killed_and_started_again(
    supervisor: Supervisor, incidents: list[Incident], tmp_path: Path
) -> None:
    alive = tmp_path / "alive"
    code = (
        f"import pathlib, os, time; f = pathlib.Path({str(alive)!r}); f.touch(); os.utime(f, (0, 0)); time.sleep(600)"
    )
    supervisor.add(python("stuck", code, tmp_path, liveness=alive))
    until(lambda: supervisor.restarts["stuck"] == 1, look=supervisor.look)
    assert incidents[0].reason == "made no progress and was killed"


def test_stopping_ends_every_program_and_what_it_started_where_it_does_not_obey(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    deaf = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    obeys, refuses = python("obeys", SLEEP, tmp_path), python("refuses", deaf, tmp_path)
    supervisor.add(obeys)
    supervisor.add(refuses)
    until(lambda: "up" in obeys.log.read_text() and refuses.log.read_text().strip())
    pids = [pid(supervisor, "obeys"), pid(supervisor, "refuses"), int(refuses.log.read_text())]
    supervisor.stop(grace_s=0.5)
    until(lambda: not any(map(_runs, pids)))
    assert supervisor.restarts == {}


@pytest.mark.needs("linux")  # elsewhere nothing ends children with their starter
def test_a_supervisor_killed_with_9_takes_its_programs_along(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from services.standalone.processes import Program, start;"
        f"p = start(Program('child', (sys.executable, '-c', {SLEEP!r}), log=Path({str(tmp_path / 'child.log')!r})));"
        "print(p.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        child = int(starter.stdout.readline())
        starter.kill()
    until(lambda: not _runs(child))


def test_a_program_that_stops_by_itself_is_stopped_gently(tmp_path: Path) -> None:
    code = (
        "import os, signal, time; signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'bye'), os._exit(0)));"
        "os.write(1, b'up '); time.sleep(600)"
    )
    program = python("polite", code, tmp_path)
    with running(program) as process:
        until(lambda: "up" in program.log.read_text())
    assert process.returncode == 0
    assert program.log.read_text() == "up bye"


def test_stopping_what_has_ended_already_touches_nobody_else(tmp_path: Path) -> None:
    program = python("short", "pass", tmp_path)
    process = start(program)
    process.wait()
    stop(program, process)
    assert process.returncode == 0


def _runs(process: int) -> bool:
    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE
