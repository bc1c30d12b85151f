"""The file of pseudonym key epochs: `[{"id": "2026-11", "key": "<base64>", "not_before": "2026-11-01T00:00:00Z"}]`.

It is the one secret that leads from a pseudonym back to a call id. An epoch is destroyed by deleting its entry.
"""

import os
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec

from streams.domain.privacy import Epoch

KEY_BYTES = 32


class EpochFileError(ValueError):
    """The epoch file cannot be used; the message names the file and the remedy, never a key."""


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An epoch as written in the file."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    key: Annotated[bytes, msgspec.Meta(min_length=KEY_BYTES)]
    not_before: Annotated[datetime, msgspec.Meta(tz=True)]


def read_epochs(path: Path) -> tuple[Epoch, ...]:
    """Every epoch of the file, oldest first; raises EpochFileError where the file is not safe to use."""
    try:
        _check_mode(path, path.stat())
        entries = msgspec.json.decode(path.read_bytes(), type=list[_Entry])
    except FileNotFoundError:
        raise EpochFileError(f"{path}: no such file: name the key epochs in UNDERTONE_EPOCHS") from None
    except OSError as error:
        raise EpochFileError(f"{path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise EpochFileError(f"{path}: {error}: expected a list of id, key (base64), not_before") from None
    epochs = [Epoch(entry.id, entry.key, entry.not_before.astimezone(UTC)) for entry in entries]
    epochs.sort(key=lambda epoch: epoch.not_before)
    _check_set(path, epochs)
    return tuple(epochs)


def create_epochs(path: Path, at: datetime) -> None:
    """Write a new file with one random epoch in use from `at`, readable by its owner alone.

    Raises FileExistsError: a key that is overwritten takes every way back to its calls with it.
    """
    epoch_id = at.astimezone(UTC).strftime("%Y-%m-%d")
    entry = _Entry(id=epoch_id, key=os.urandom(KEY_BYTES), not_before=at)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode([entry]))


def _check_mode(path: Path, status: os.stat_result) -> None:
    """As PostgreSQL does with its key file: 0600, or 0640 where root owns it (a mounted secret)."""
    allowed = 0o640 if status.st_uid == 0 else 0o600
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o777 & ~allowed & ~0o100:
        raise EpochFileError(f"{path}: mode {mode:04o} lets others read the keys: chmod 600 {path}")


def _check_set(path: Path, epochs: Sequence[Epoch]) -> None:
    if not epochs:
        raise EpochFileError(f"{path}: no epoch: add one, or no call can be given a pseudonym")
    for name, values in (
        ("id", {epoch.id for epoch in epochs}),
        ("key", {epoch.key for epoch in epochs}),
        ("not_before", {epoch.not_before for epoch in epochs}),
    ):
        if len(values) < len(epochs):
            raise EpochFileError(f"{path}: two epochs share one {name}: give each its own")
