"""Calls to publish, made by seed: what each record is for is known before it is sent (`Kind`)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from random import Random

from ops.chaos.sounds import RATE, one_channel, two_voices
from services.calls import GIVEN_BEFORE
from streams.domain.records import (
    Audio,
    CallBody,
    CallRecord,
    Consent,
    Encoding,
    Ended,
    Gap,
    Notice,
    Purpose,
    Role,
    Started,
)
from streams.kafka.cloudevents import encode_call
from streams.ports import Outgoing
from streams.speech.decode import Pcm, encode

ROLES = {1: (Role.MIXED,), 2: (Role.AGENT, Role.CUSTOMER)}  #: by channels
CHUNK_MS = 200
USE_CASE = "demo"

Voices = Callable[[Random, int], Pcm]  #: what is said, for so many ms


class Kind(StrEnum):
    """What a record is there for."""

    HEALTHY = "healthy"
    POISON = "poison"  #: unusable: one dead letter, and nothing else
    DUPLICATE = "duplicate"
    LATE = "late"


class Permission(StrEnum):
    """What the customer of a call allowed."""

    GIVEN = "given"
    NONE = "none"
    LATER = "later"  #: given in the middle of the call
    WITHDRAWN = "withdrawn"  #: given, and taken back in the middle of the call
    REGRETTED = "regretted"  #: taken back, and given once more: that opens nothing


@dataclass(frozen=True, slots=True)
class Mix:
    """What calls are like: how long, and shares (0 to 1) of calls and of records."""

    media_s: tuple[int, int] = (20, 34)
    permissions: tuple[tuple[Permission, float], ...] = (
        (Permission.GIVEN, 0.7),
        (Permission.NONE, 0.1),
        (Permission.LATER, 0.1),
        (Permission.WITHDRAWN, 0.07),
        (Permission.REGRETTED, 0.03),
    )
    one_channel: float = 0.0  #: calls on which both speak on one channel
    poison: float = 0.0  #: unusable records put in after each record, on the average
    duplicate: float = 0.0
    swapped: float = 0.0  #: with the record after it
    late: float = 0.0  #: sent 5 to 20 records after its turn
    missing: float = 0.0


@dataclass(frozen=True, slots=True)
class Sending:
    """One record to publish, due when the call's media time has come to `due_ms`."""

    call_id: str = field(repr=False)
    sequence: int
    kind: Kind
    due_ms: int
    record: Outgoing = field(repr=False)
    reason: str | None = None  #: of the dead letter that is expected
    partition: int | None = None  #: where it is not the key's


@dataclass(frozen=True, slots=True)
class Planned:
    """A call as it will be published."""

    call_id: str = field(repr=False)
    permission: Permission
    sendings: tuple[Sending, ...] = field(repr=False)


def plan(random: Random, call_id: str, mix: Mix, at: datetime | None = None) -> Planned:
    """Make one call; everything but the moment `at` comes from `random`."""
    kinds, weights = zip(*mix.permissions, strict=True)
    (permission,) = random.choices(kinds, weights)
    duration_ms = random.randint(*mix.media_s) * 1000
    voices = one_channel if mix.one_channel and random.random() < mix.one_channel else two_voices
    records = _told(random, call_id, permission, (voices, duration_ms), at or datetime.now(UTC))
    return Planned(call_id, permission, tuple(_disturbed(random, _sendings(records), mix)))


def _told(
    random: Random, call_id: str, permission: Permission, spoken: tuple[Voices, int], at: datetime
) -> Iterator[CallRecord]:
    """The call as an orderly publisher tells it."""
    encoding, (voices, duration_ms) = random.choice(list(Encoding)), spoken
    pcm, changes = voices(random, duration_ms), _changes(random, permission, duration_ms, at)
    yield CallRecord(call_id, 0, 0, at, _started(permission, ROLES[len(pcm)], at))
    sequence = 1
    for media_ms in range(0, duration_ms, CHUNK_MS):
        for consent in [given for due_ms, given in changes if media_ms <= due_ms < media_ms + CHUNK_MS]:
            yield CallRecord(call_id, sequence, media_ms, at, consent)
            sequence += 1
        yield CallRecord(call_id, sequence, media_ms, at, _chunk(encoding, pcm, media_ms))
        sequence += 1
    yield CallRecord(call_id, sequence, duration_ms, at, Ended("hung_up"))


def _started(permission: Permission, roles: tuple[Role, ...], at: datetime) -> Started:
    given_at = at - GIVEN_BEFORE
    asked = permission in {Permission.NONE, Permission.LATER}
    consents = () if asked else (_consent(granted=True, at=given_at),)
    return Started(USE_CASE, roles, "en", Notice("chaos", "1", "en", given_at), consents, reference="T-chaos")


def _changes(random: Random, permission: Permission, duration_ms: int, at: datetime) -> list[tuple[int, Consent]]:
    """Consent records in the middle of the call, by media time."""
    first = random.randrange(duration_ms // 4, duration_ms * 3 // 4)
    given_at = at - GIVEN_BEFORE
    match permission:
        case Permission.LATER:
            return [(first, _consent(granted=True, at=given_at))]
        case Permission.WITHDRAWN:
            return [(first, _consent(granted=False, at=given_at))]
        case Permission.REGRETTED:
            again = random.randrange(first, duration_ms)
            return [(first, _consent(granted=False, at=given_at)), (again, _consent(granted=True, at=given_at))]
        case _:
            return []


def _consent(*, granted: bool, at: datetime) -> Consent:
    return Consent(Purpose.ALERTING, granted=granted, basis="consent", given_at=at)


def _chunk(encoding: Encoding, pcm: Pcm, media_ms: int) -> Audio:
    per_ms = RATE // 1000
    part = pcm[:, media_ms * per_ms : (media_ms + CHUNK_MS) * per_ms]
    return Audio(encoding, RATE, len(pcm), encode(encoding, part))


def _sendings(records: Iterator[CallRecord]) -> list[Sending]:
    return [
        Sending(
            record.call_id, record.sequence, Kind.HEALTHY, _known_ms(record.media_ms, record.body), encode_call(record)
        )
        for record in records
    ]


def _known_ms(media_ms: int, body: CallBody) -> int:
    """Media time at which a publisher can have the record."""
    return media_ms + body.duration_ms if isinstance(body, Audio | Gap) else media_ms


def _disturbed(random: Random, sendings: Sequence[Sending], mix: Mix) -> list[Sending]:
    """The same, with audio records repeated, swapped, late or left out; nothing comes after the end."""
    last = len(sendings) - 1
    told = [
        (min(place + later, last - 0.5) if later else place, replace(sending, kind=kind))
        for place, sending in enumerate(sendings)
        for later, kind in (_copies(random, mix) if is_audio(sending) else _AS_IT_IS)
    ]
    return [sending for _, sending in sorted(told, key=lambda entry: entry[0])]


_AS_IT_IS = ((0.0, Kind.HEALTHY),)


def _copies(random: Random, mix: Mix) -> tuple[tuple[float, Kind], ...]:
    """How many places after its own each copy of a record is sent, and as what."""
    usual = 1 - mix.missing - mix.late - mix.swapped - mix.duplicate
    outcomes = {
        (): mix.missing,
        ((random.randint(5, 20) + 0.5, Kind.LATE),): mix.late,
        ((1.5, Kind.LATE),): mix.swapped,
        (*_AS_IT_IS, (random.randint(0, 10) + 0.5, Kind.DUPLICATE)): mix.duplicate,
        _AS_IT_IS: usual,
    }
    (chosen,) = random.choices(list(outcomes), list(outcomes.values()))
    return chosen


def is_audio(sending: Sending) -> bool:
    """Whether it carries a chunk."""
    return dict(sending.record.headers)["ce_type"] == b"undertone.call.audio.v1"
