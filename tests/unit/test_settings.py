import re
from pathlib import Path

import pytest

from services.commands.site import FOLDER
from services.inference.settings import InferenceSettings
from streams.settings import OF_OTHERS, Settings, SettingsError

ROOT = Path(__file__).parents[2]
READ_BY = ("streams", "services", "migrations", "ops", "tests")
LOOKED_UP = re.compile(r"""environ(?:\.get\(|\[)"(UNDERTONE_\w+)""")


def test_settings_are_what_the_variables_say_and_the_defaults_elsewhere() -> None:
    found = Settings.read({"UNDERTONE_PARTITIONS": "12", "UNDERTONE_USE_CASES": "ours", "HOME": "/root"})
    assert (found.partitions, found.use_cases, found.kafka) == (12, Path("ours"), "localhost:9092")
    assert found.model_fields_set == {"partitions", "use_cases"}


@pytest.mark.parametrize("address", ["postgresql://u:p@h:5432/d", "host=h password='two words'", ""])
def test_an_address_is_whatever_libpq_takes(address: str) -> None:
    assert Settings.read({"UNDERTONE_POSTGRES": address}).postgres.get_secret_value() == address


@pytest.mark.parametrize("address", ["secret words", "postgres:/secret@h", "postgresql://u:secret%zz@h/d"])
def test_what_libpq_does_not_take_is_refused_without_its_words(address: str) -> None:
    with pytest.raises(SettingsError, match=r"^UNDERTONE_POSTGRES: must be an address, postgresql://USER") as refused:
        Settings.read({"UNDERTONE_POSTGRES": address})
    assert "secret" not in str(refused.value)
    assert refused.value.__suppress_context__


@pytest.mark.parametrize("address", ["collector:4318", "http://user:secret@h:4318", "grpc://h:4317", ""])
def test_a_collector_that_spans_could_not_be_sent_to_is_refused_without_its_words(address: str) -> None:
    with pytest.raises(SettingsError, match=r"^UNDERTONE_TRACES: must be an address, http://HOST:PORT or") as refused:
        Settings.read({"UNDERTONE_TRACES": address})
    assert "secret" not in str(refused.value)


def test_no_span_is_sent_anywhere_unless_a_collector_is_named() -> None:
    assert Settings.read({}).traces is None
    assert Settings.read({"UNDERTONE_TRACES": "http://collector:4318"}).traces_ratio == 0.01


def test_every_fault_is_told_in_one_line() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.read({"UNDERTONE_RETENTION_DAYS": "3", "UNDERTONE_METRICS_PORT": "x", "UNDERTONE_QQ": "secret"})
    assert str(refused.value) == (
        "UNDERTONE_METRICS_PORT: must be a valid integer, unable to parse string as an integer; "
        "UNDERTONE_RETENTION_DAYS: must be greater than or equal to 8; "
        "UNDERTONE_QQ: nothing reads it; unset it"
    )


def test_a_stage_and_the_inference_service_may_share_an_environment() -> None:
    both = {"UNDERTONE_KAFKA": "a:1", "UNDERTONE_INFERENCE": "http://b", "UNDERTONE_INFERENCE_PORT": "9000"}
    assert Settings.read(both).inference == "http://b"
    assert InferenceSettings.read(both).port == 9000


def test_what_others_look_up_in_the_environment_is_passed_over_and_nothing_else() -> None:
    files = [file for folder in READ_BY for file in (ROOT / folder).rglob("*.py")]
    read = {name for file in files for name in LOOKED_UP.findall(file.read_text())}
    assert read | {FOLDER, "UNDERTONE_INFERENCE_*"} == set(OF_OTHERS)


def test_a_secret_may_stand_in_a_file_out_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "address").write_text("postgresql://u:p@h:5432/d\n")
    (tmp_path / "password").write_text(" with spaces \n")
    named = {"POSTGRES_FILE": "address", "KAFKA_PASSWORD_FILE": "password"}
    found = Settings.read({f"UNDERTONE_{name}": str(tmp_path / file) for name, file in named.items()})
    assert found.postgres.get_secret_value() == "postgresql://u:p@h:5432/d"
    assert found.kafka_password is not None
    assert found.kafka_password.get_secret_value() == " with spaces "
    assert found.model_fields_set == {"postgres", "kafka_password"}


def test_what_stands_in_a_secrets_file_is_checked_and_never_told(tmp_path: Path) -> None:
    file = tmp_path / "address"
    file.write_text("secret words")
    with pytest.raises(SettingsError, match=r"^UNDERTONE_POSTGRES: must be an address") as refused:
        Settings.read({"UNDERTONE_POSTGRES_FILE": str(file)})
    assert "secret" not in str(refused.value)


def test_a_secrets_file_that_is_missing_or_beside_its_secret_is_refused(tmp_path: Path) -> None:
    named = {"UNDERTONE_POSTGRES_FILE": str(tmp_path / "none")}
    with pytest.raises(SettingsError, match=r"^UNDERTONE_POSTGRES_FILE: .*none: No such file or directory; name a"):
        Settings.read(named)
    with pytest.raises(SettingsError, match=r"^UNDERTONE_POSTGRES and UNDERTONE_POSTGRES_FILE are both set"):
        Settings.read(named | {"UNDERTONE_POSTGRES": "postgresql://h/d"})


def test_only_secrets_are_read_from_files() -> None:
    with pytest.raises(SettingsError, match=r"^UNDERTONE_KAFKA_FILE: nothing reads it"):
        Settings.read({"UNDERTONE_KAFKA_FILE": "servers"})
