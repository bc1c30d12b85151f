"""A recording, and the call that it is to become."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from services.recordings import CHUNK_MS, Recording, call_records
from streams import usecases
from streams.domain.records import Audio, CallRecord, Role, Started
from streams.usecases import UseCase, UseCaseError

#: Notice and consent come before the call does, also by a broker's clock that is a little behind this machine's.
GIVEN_BEFORE = timedelta(seconds=5)


class RolesError(ValueError):
    """Roles are not what the recording has channels for. Says how to name them."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A call that is ready to be published."""

    recording: Recording
    call_id: str
    started: Started
    at: datetime
    chunk_ms: int = CHUNK_MS

    def records(self) -> Iterator[CallRecord]:
        """The call, record by record."""
        return call_records(
            self.recording, call_id=self.call_id, started=self.started, at=self.at, chunk_ms=self.chunk_ms
        )


def usual_roles(recording: Recording) -> str:
    """What a recording's channels are taken for where nobody names them: not good enough to publish a call."""
    return "agent,customer" if recording.channels > 1 else "mixed"


def roles(channels: str | None, recording: Recording) -> tuple[Role, ...]:
    """One role a channel: as named, else all `mixed`, nobody's for certain. Raises RolesError."""
    if channels is None:
        return (Role.MIXED,) * recording.channels
    try:
        named = tuple(Role(name.strip()) for name in channels.split(","))
    except ValueError:
        raise RolesError(f"--channels {channels}: write {', '.join(Role)}, one for each channel") from None
    if len(named) != recording.channels:
        held, remedy = f"{recording.channels} channels", "name one for each"
        if recording.channels == 1:
            held, remedy = "1 channel", "write customer, or mixed where both speak on it"
        raise RolesError(f"{recording.path}: has {held}, --channels names {len(named)} ({channels}); {remedy}")
    return named


def use_case_named(name: str, folder: Path | None) -> UseCase:
    """The use case of this name. Raises UseCaseError where there is none, as the stream would dead-letter its calls."""
    found = usecases.load(folder)
    if name not in found:
        known = ", ".join(found)
        raise UseCaseError(f"--use-case {name}: not there; choose one of {known}, or correct UNDERTONE_USE_CASES")
    return found[name]


def counted(records: Iterator[CallRecord], taken: Callable[[Audio], None]) -> Iterator[CallRecord]:
    """The same records; `taken` hears of each chunk of audio when it is asked for."""
    for record in records:
        if isinstance(record.body, Audio):
            taken(record.body)
        yield record
