"""The file of key epochs: read whole, or refused in one line that says what to do and shows no key."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.privacy import Epoch
from streams.store.epochs import EpochFileError, create_epochs, read_epochs

START = datetime(2026, 11, 1, tzinfo=UTC)
KEY = b"k" * 32


def entry(**changed: Any) -> dict[str, Any]:  # noqa: ANN401 - also what the file must not hold
    good = {"id": "2026-11", "key": base64.b64encode(KEY).decode(), "not_before": START.isoformat()}
    return good | changed


def written(folder: Path, content: object, mode: int = 0o600) -> Path:
    path = folder / "epochs.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(mode)
    return path


def test_epochs_are_read_oldest_first(tmp_path: Path) -> None:
    later = entry(id="2026-12", key=base64.b64encode(b"l" * 32).decode(), not_before="2026-12-01T00:00:00+01:00")

    epochs = read_epochs(written(tmp_path, [later, entry()]))

    assert epochs == (
        Epoch("2026-11", KEY, START),
        Epoch("2026-12", b"l" * 32, datetime(2026, 11, 30, 23, tzinfo=UTC)),
    )


@given(keys=st.lists(st.binary(min_size=32, max_size=48), min_size=1, max_size=5, unique=True))
def test_every_key_is_read_as_written(tmp_path_factory: pytest.TempPathFactory, keys: list[bytes]) -> None:
    entries = [
        entry(id=str(number), key=base64.b64encode(key).decode(), not_before=(START + timedelta(number)).isoformat())
        for number, key in enumerate(keys)
    ]
    path = written(tmp_path_factory.mktemp("epochs"), entries)

    assert [epoch.key for epoch in read_epochs(path)] == keys


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "expected a list"),
        ("{}", "expected a list"),
        ([], "no epoch"),
        ([entry(), entry()], "share one id"),
        ([entry(), entry(id="b", not_before="2026-12-01T00:00:00Z")], "share one key"),
        ([entry(), entry(id="b", key=base64.b64encode(b"l" * 32).decode())], "share one not_before"),
        ([entry(key=base64.b64encode(b"short").decode())], r"\$\[0\].key"),
        ([entry(key="not base64!")], r"\$\[0\].key"),
        ([entry(not_before="2026-11-01T00:00:00")], r"\$\[0\].not_before"),
        ([entry(not_after="2026-12-01T00:00:00Z")], "not_after"),
        ([entry(id="")], r"\$\[0\].id"),
        ([{"id": "2026-11"}], "key"),
    ],
)
def test_a_bad_file_is_refused_by_name_and_without_its_keys(tmp_path: Path, content: object, said: str) -> None:
    path = written(tmp_path, content)

    with pytest.raises(EpochFileError, match=said) as refusal:
        read_epochs(path)

    message = str(refusal.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert entry()["key"] not in message


def test_a_missing_file_is_refused_with_the_setting_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(EpochFileError, match="UNDERTONE_EPOCHS"):
        read_epochs(tmp_path / "none.json")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(EpochFileError, match="directory"):
        read_epochs(tmp_path)


@pytest.mark.parametrize("mode", [0o604, 0o660, 0o644, 0o777])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(EpochFileError, match="chmod 600"):
        read_epochs(written(tmp_path, [entry()], mode))


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_of_its_owner_alone_is_read(tmp_path: Path, mode: int) -> None:
    assert read_epochs(written(tmp_path, [entry()], mode))


def test_a_new_file_has_one_epoch_and_no_other_reader(tmp_path: Path) -> None:
    path = tmp_path / "epochs.json"
    create_epochs(path, START)

    (epoch,) = read_epochs(path)
    assert (epoch.id, epoch.not_before, len(epoch.key)) == ("2026-11-01", START, 32)
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_epoch_file_is_never_overwritten(tmp_path: Path) -> None:
    path = written(tmp_path, [entry()])

    with pytest.raises(FileExistsError):
        create_epochs(path, START)
