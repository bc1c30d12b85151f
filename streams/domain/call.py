"""The ledger of a call: what each record means before any audio is decoded.

The fold decides on order, duplicates, gaps, notice and consent from metadata alone, so that audio which may not be
heard is never decoded. What is left to do comes back as actions, in order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from streams.domain import consent
from streams.domain.consent import Permission
from streams.domain.deadletters import Reason, UnusableError
from streams.domain.records import Audio, CallRecord, Consent, Ended, Gap, Purpose, Role, Started
from streams.domain.roles import OneChannel, told_apart
from streams.domain.windows import Fate

IDLE = timedelta(seconds=30)  #: without a record: the turns finish, consent and state stay
#: Of the log's time, after which a turn ends, for it holds the commit back. Speech is cut after 15 s of media time, so
#: only a publisher who is far slower than speech gets there.
OPEN_TURN = IDLE
IDLE_END = timedelta(minutes=15)  #: without a record: the call is over


@dataclass(frozen=True, slots=True)
class Ledger:
    """The state over one call's records; `fates` are those that all its channels share (ms)."""

    call: str
    epoch: str
    use_case: str
    language: str
    channels: tuple[Role, ...]
    started_at: datetime
    last_at: datetime
    permission: Permission
    reference: str | None = None
    told: OneChannel | None = None  #: how who is who is told on one channel, where it is
    next_sequence: int = 0
    media_ms: int = 0
    rate: int | None = None
    fates: Mapping[Fate, int] = field(default_factory=dict)
    missing: int = 0  #: records that the publisher numbered and that never came
    ended_at: datetime | None = None
    end_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Break:
    """Every open turn ends at `at_ms`."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Listen:
    """Decode and hear this chunk, which record `consent_seq` allows."""

    at_ms: int
    audio: Audio
    consent_seq: int
    logged_at: datetime


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Delete everything of the call, at once."""

    at: datetime


@dataclass(frozen=True, slots=True)
class End:
    """The call is over; leave a tombstone."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """A dead letter."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class GrantRefused:
    """A grant came after the refusal that the call started with: it opens nothing and is counted."""


Action = Break | Listen | Withdraw | End | Refuse | GrantRefused
Result = tuple[Ledger, tuple[Action, ...]]


def begin(record: CallRecord, *, call: str, epoch: str, told: OneChannel | None = None) -> Ledger:
    """The ledger of the call that `record` starts, under pseudonym `call`; `told` is what its use case says.

    Raises UnusableError where the record does not start a call, or its channels cannot be told apart.
    """
    started = record.body
    if not isinstance(started, Started):
        raise UnusableError(Reason.NOT_STARTED, "no `started` came before: publish it first, as ce_sequence 0")
    if not started.channels or any(started.channels.count(role) > 1 for role in (Role.CUSTOMER, Role.AGENT)):
        raise UnusableError(Reason.MALFORMED, "`channels` must name a role a channel, customer and agent once at most")
    return Ledger(
        call=call,
        epoch=epoch,
        use_case=started.use_case,
        language=started.language,
        channels=started.channels,
        reference=started.reference,
        told=told_apart(started.channels, told),
        started_at=record.logged_at,
        last_at=record.logged_at,
        permission=consent.begin(started, record.sequence),
        next_sequence=record.sequence + 1,
        media_ms=record.media_ms,
    )


def step(ledger: Ledger, record: CallRecord) -> Result:
    """Take in one record of an open call."""
    if record.sequence < ledger.next_sequence:
        return _repeated(ledger, record)
    actions: tuple[Action, ...] = ()
    if record.logged_at - ledger.last_at >= IDLE:
        actions = (Break(ledger.media_ms),)
    ledger = replace(
        ledger,
        missing=ledger.missing + record.sequence - ledger.next_sequence,
        next_sequence=record.sequence + 1,
        last_at=max(ledger.last_at, record.logged_at),
    )
    ledger, more = _body(ledger, record)
    return ledger, actions + more


def idle(ledger: Ledger, now: datetime) -> Result:
    """What the passing of the log's time to `now` means for a call without records."""
    if ledger.ended_at is not None:
        return ledger, ()
    if now - ledger.last_at >= IDLE_END:
        ended = replace(ledger, ended_at=ledger.last_at + IDLE_END, end_reason="idle")
        return ended, (Break(ledger.media_ms), End())
    return ledger, (Break(ledger.media_ms),) if now - ledger.last_at >= IDLE else ()


def _body(ledger: Ledger, record: CallRecord) -> Result:
    match record.body:
        case Audio() as audio:
            return _audio(ledger, record, audio)
        case Consent() as given:
            return _consent(ledger, record, given)
        case Gap() as gap:
            return _gap(ledger, record.media_ms + gap.duration_ms)
        case Ended() as ended:
            ledger, actions = _gap(ledger, record.media_ms)
            ledger = replace(ledger, ended_at=record.logged_at, end_reason=ended.reason)
            return ledger, (*actions, End())
        case Started():
            message = "`started` came twice: give each call an id of its own"
            return ledger, (Refuse(Reason.ALREADY_STARTED, message),)


def _repeated(ledger: Ledger, record: CallRecord) -> Result:
    """A record whose sequence was there before: dropped, but a withdrawal counts however late it comes."""
    match record.body:
        case Audio() as audio:
            return _count(ledger, Fate.DUPLICATE, audio.duration_ms), ()
        case Consent() as given if withdraws(given):
            return _consent(ledger, record, given)
        case _:
            return ledger, ()


def _audio(ledger: Ledger, record: CallRecord, audio: Audio) -> Result:
    if record.media_ms < ledger.media_ms:
        return _count(ledger, Fate.LATE, audio.duration_ms), ()
    ledger, actions = _gap(ledger, record.media_ms) if record.media_ms > ledger.media_ms else (ledger, ())
    at_ms, end_ms = ledger.media_ms, record.media_ms + audio.duration_ms
    if audio.channels != len(ledger.channels) or ledger.rate not in {None, audio.rate}:
        message = "channels differ from `started`, or the rate from the call's first chunk: start a new call"
        refuse = (Break(at_ms), Refuse(Reason.AUDIO_CHANGED, message))
        return _count(replace(ledger, media_ms=end_ms), Fate.DEAD, audio.duration_ms), actions + refuse
    ledger = replace(ledger, media_ms=end_ms, rate=audio.rate)
    allowed_by = consent.in_force(ledger.permission, record.logged_at)
    if allowed_by is None:
        return _count(ledger, Fate.NO_CONSENT, audio.duration_ms), (*actions, Break(at_ms))
    # Beside a mixed channel nobody's role is certain; on a mixed one by itself, where the use case says how to tell.
    if ledger.told is None and (Role.CUSTOMER not in ledger.channels or Role.MIXED in ledger.channels):
        fate = Fate.AGENT if ledger.channels == (Role.AGENT,) else Fate.UNKNOWN_ROLE
        return _count(ledger, fate, audio.duration_ms), actions
    return ledger, (*actions, Listen(at_ms, audio, allowed_by, record.logged_at))


def _consent(ledger: Ledger, record: CallRecord, given: Consent) -> Result:
    refused = ledger.permission.withdrawn
    ledger = replace(ledger, permission=consent.step(ledger.permission, given, record.sequence))
    if withdraws(given):
        return ledger, (Withdraw(record.logged_at),)
    if refused:
        return ledger, (GrantRefused(),) if given.granted else ()
    # A turn never spans two consents: the row that allows its windows is then always written before them.
    return ledger, (Break(ledger.media_ms),)


def withdraws(given: Consent) -> bool:
    """Whether this takes back `emotion.alerting`."""
    return given.purpose is Purpose.ALERTING and not given.granted


def _gap(ledger: Ledger, to_ms: int) -> Result:
    at_ms = ledger.media_ms
    ledger = _count(replace(ledger, media_ms=max(at_ms, to_ms)), Fate.GAP, max(0, to_ms - at_ms))
    return ledger, (Break(at_ms),)


def _count(ledger: Ledger, fate: Fate, duration_ms: int) -> Ledger:
    if not duration_ms:
        return ledger
    return replace(ledger, fates={**ledger.fates, fate: ledger.fates.get(fate, 0) + duration_ms})
