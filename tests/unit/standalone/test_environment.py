from pathlib import Path

import pytest
from pydantic import SecretStr

from services.standalone.environment import leave, left, told
from streams.settings import Settings


def test_what_a_stack_leaves_is_read_as_it_was_and_by_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(postgres=SecretStr("postgresql://u:p#'w$x@h/d"), epochs=tmp_path / "a b #1" / "epochs.json")
    leave(tmp_path, told(settings))
    assert Settings.read(left(tmp_path)) == settings
    assert (tmp_path / "env").stat().st_mode & 0o777 == 0o600


def test_clients_in_other_folders_find_the_use_cases_of_the_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    leave(tmp_path, told(Settings(use_cases=Path("ours"))))
    assert Settings.read(left(tmp_path)).use_cases == tmp_path / "ours"


def test_a_folder_in_which_no_stack_has_run_tells_nothing(tmp_path: Path) -> None:
    assert left(tmp_path) == {}
