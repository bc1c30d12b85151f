"""What a use case says of its calls, as far as hearing them needs it."""

from dataclasses import dataclass, field

from streams.domain.records import Role
from streams.domain.roles import OneChannel
from streams.speech.activity import VoiceActivity
from streams.speech.announcements import Announcements, read
from streams.usecases import UseCase


@dataclass(frozen=True, slots=True)
class Expecting:
    """Nothing, where the use case says nothing."""

    first: Role | None = None  #: who must speak first on two channels, else the call is not scored
    one_channel: OneChannel | None = None  #: how who is who is told where both speak on one channel
    announcements: Announcements | None = field(default=None, repr=False)  #: what is played to customers
    reach_ms: int = 0  #: how much audio before the newest is needed where both speak on one channel


def expecting(model: VoiceActivity, use_case: UseCase, reach_ms: int = 0) -> Expecting:
    """Raises AnnouncementError that names every recording which cannot be used."""
    announced = read(model, use_case.announcements) if use_case.announcements else None
    return Expecting(use_case.speaks_first if use_case.swap_guard else None, use_case.one_channel, announced, reach_ms)
