from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError

from services.commands import site
from services.commands.site import SiteError
from services.standalone import environment
from streams.settings import Settings

STACK = {
    "UNDERTONE_KAFKA": "127.0.0.1:1234",
    "UNDERTONE_POSTGRES": "postgresql://u:p@127.0.0.1:5/undertone",
    "UNDERTONE_EPOCHS": "/srv/#1 under 'tone'/epochs.json",
}


@pytest.fixture(autouse=True)
def _stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder in which a stack runs."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"UNDERTONE_{name.upper()}", raising=False)
    monkeypatch.delenv(site.FOLDER, raising=False)
    monkeypatch.chdir(tmp_path)
    environment.HERE.mkdir()
    environment.leave(environment.HERE, STACK)


def test_the_stack_in_this_folder_is_found_without_any_setting() -> None:
    found = site.settings()
    assert found.kafka == "127.0.0.1:1234"
    assert str(found.epochs) == STACK["UNDERTONE_EPOCHS"]


@pytest.mark.parametrize("name", ["UNDERTONE_KAFKA", "UNDERTONE_POSTGRES"])
def test_an_environment_that_names_a_server_is_never_mixed_with_the_stack(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "postgresql://elsewhere")
    chosen = site.settings()
    assert chosen.kafka != "127.0.0.1:1234"
    assert "127.0.0.1:5" not in chosen.postgres.get_secret_value()


def test_the_stack_of_another_folder_is_found_by_a_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    environment.leave(tmp_path / "other", STACK | {"UNDERTONE_KAFKA": "127.0.0.1:4321"})
    monkeypatch.setenv(site.FOLDER, str(tmp_path / "other"))
    assert site.settings().kafka == "127.0.0.1:4321"
    monkeypatch.setenv("UNDERTONE_KAFKA", "elsewhere")
    assert "127.0.0.1:5" not in site.settings().postgres.get_secret_value()


def test_a_folder_in_which_no_stack_has_run_is_refused_where_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(site.FOLDER, "/no/where")
    with pytest.raises(SiteError, match=r"^UNDERTONE_FOLDER: no stack has run in /no/where; correct it, or start one"):
        site.settings()


def test_the_doctor_of_another_folder_never_mixes_either(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    environment.leave(tmp_path / "other", STACK | {"UNDERTONE_KAFKA": "127.0.0.1:4321"})
    assert site.settings(tmp_path / "other").kafka == "127.0.0.1:4321"
    monkeypatch.setenv("UNDERTONE_KAFKA", "elsewhere")
    assert "127.0.0.1:5" not in site.settings(tmp_path / "other").postgres.get_secret_value()


def test_a_broker_that_is_down_or_refuses_is_said_with_the_setting() -> None:
    with (
        pytest.raises(SiteError, match=r"does not answer on 127.0.0.1:1234.*UNDERTONE_KAFKA"),
        site.kafka(site.settings()),
    ):
        raise KafkaConnectionError
    with pytest.raises(SiteError, match="TopicAuthorizationFailedError"), site.kafka(site.settings()):
        raise TopicAuthorizationFailedError


def test_what_is_kept_lies_beside_the_stack_and_apart_for_each_database_that_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert site.kept("head") == environment.HERE / "head"
    environment.leave(tmp_path, STACK)
    monkeypatch.setenv(site.FOLDER, str(tmp_path))
    assert site.kept("head") == tmp_path / "head"
    named = []
    for address in (
        "postgresql://u:p@one/undertone",
        "postgresql://v:q@one/undertone",
        "postgresql://u:p@two/undertone",
    ):
        monkeypatch.setenv("UNDERTONE_POSTGRES", address)
        named.append(site.kept("head"))
    one, of_another_user, two = named
    assert one == of_another_user
    assert {one.parent, two.parent} == {tmp_path}
    assert len({one, two, tmp_path / "head"}) == 3
