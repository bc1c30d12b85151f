"""What travels on the topics, as frozen dataclasses.

Media time is integer milliseconds from the start of the call (`_ms`); the log's time and people's time are
aware datetimes (`_at`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from streams.domain.unlabelled import Unlabelled

MAX_CHUNK_MS = 5_000  #: of one record's audio


class Role(StrEnum):
    """Who is on a channel."""

    CUSTOMER = "customer"
    AGENT = "agent"
    MIXED = "mixed"  #: both on one channel; scored only where the use case says how they are told apart


class Purpose(StrEnum):
    """What a consent allows."""

    ALERTING = "emotion.alerting"
    TRAINING = "emotion.training"


class Encoding(StrEnum):
    """How the samples of an audio record are written; L16 is big-endian (RFC 2586)."""

    PCMU = "audio/PCMU"
    PCMA = "audio/PCMA"
    L16 = "audio/L16"

    @property
    def width(self) -> int:
        """Bytes a sample."""
        return 2 if self is Encoding.L16 else 1


@dataclass(frozen=True, slots=True)
class Notice:
    """The words by which the customer was told, and when."""

    id: str
    version: str
    language: str
    given_at: datetime


@dataclass(frozen=True, slots=True)
class Consent:
    """One purpose allowed or withdrawn. A grant without a notice of its own leans on the call's."""

    purpose: Purpose
    granted: bool
    basis: str
    given_at: datetime
    expires_at: datetime | None = None
    notice: Notice | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """A call begins. `channels` names the role on each audio channel, in their interleaved order."""

    use_case: str
    channels: tuple[Role, ...]
    language: str
    notice: Notice | None = None
    consents: tuple[Consent, ...] = ()
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Audio:
    """A chunk as it arrived: `data` holds `channels` interleaved channels at `rate` Hz, whole milliseconds."""

    encoding: Encoding
    rate: int
    channels: int
    data: bytes = field(repr=False)

    @property
    def duration_ms(self) -> int:
        """Milliseconds a channel."""
        return len(self.data) * 1000 // (self.encoding.width * self.channels * self.rate)


@dataclass(frozen=True, slots=True)
class Gap:
    """Media time for which there is no audio (`paused`, `discarded` or `lost`)."""

    duration_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The call is over."""

    reason: str


CallBody = Started | Consent | Audio | Gap | Ended


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One record of a call: `sequence` counts the call's records from 0; `logged_at` is the log's time."""

    call_id: str = field(repr=False)
    sequence: int
    media_ms: int
    logged_at: datetime
    body: CallBody


@dataclass(frozen=True, slots=True)
class Window:
    """2.5 to 20 s of one customer turn, ready for the emotion model. `data` is L16 (big-endian), one channel.

    `closing_ms` is no part of what it is: the media time after its end until the window rule was certain of it.
    """

    id: str
    call: str
    use_case: str
    role: Role
    start_ms: int
    end_ms: int
    consent_seq: int
    spoken_at: datetime
    rate: int
    data: bytes = field(repr=False)
    closing_ms: int | None = field(default=None, compare=False)


class Outcome(StrEnum):
    """How labelling a window ended."""

    LABELLED = "labelled"
    ABSTAINED = "abstained"  #: the bundle refuses to judge this window
    FAILED = "failed"  #: no judgement could be computed


#: head name ("category.full") -> class -> probability; a head that the bundle is not calibrated for is missing
Heads = Mapping[str, Mapping[str, float]]
#: head name -> the class said
Classes = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Label:
    """What the models say of one window: the class of every head and its probabilities, or the reason why nothing."""

    window_id: str
    call: str
    use_case: str
    role: Role
    start_ms: int
    end_ms: int
    consent_seq: int
    spoken_at: datetime
    outcome: Outcome
    bundle: str  #: sha256 of the bundle
    heads: Heads = field(default_factory=dict)
    reason: Unlabelled | None = None  #: why nothing is said; beside what is said, a remark: out of domain
    classes: Classes = field(
        default_factory=dict
    )  #: empty in records from before it was told: the likeliest of `heads`


@dataclass(frozen=True, slots=True)
class Escalation:
    """A human should look at this call."""

    id: str
    call: str
    use_case: str
    rule: str
    severity: str
    window_ids: tuple[str, ...]
    from_ms: int
    to_ms: int
    heads: Heads  #: of the window that raised it
    consent: Consent
    bundle: str
    raised_at: datetime
    reference: str | None = None
    late: bool = False  #: raised over 60 s after the speech
    retracted: bool = False  #: withdrawn or erased since; forget it
    classes: Classes = field(default_factory=dict)  #: as in `Label`
