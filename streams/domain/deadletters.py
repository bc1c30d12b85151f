"""Why a record could not be used: a closed list, and the metadata that goes on record in its place."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Every way a record can be unusable. `ops/docs/bad-input.md` has the remedy of each."""

    MALFORMED = "malformed"  #: headers or payload do not follow the contract
    UNKNOWN_TYPE = "unknown_type"  #: a `ce_type` (or major version) that nobody here knows
    BAD_AUDIO = "bad_audio"  #: encoding, rate, channels or length not allowed
    AUDIO_CHANGED = "audio_changed"  #: rate or channels differ from the call's first chunk
    OVERSIZED = "oversized"  #: over 5 s of audio, or over the topic's size
    WRONG_PARTITION = "wrong_partition"  #: the key belongs on another partition: set partitioner=murmur2_random
    BAD_REFERENCE = "bad_reference"  #: the reference looks like a phone number or an e-mail address
    NO_EPOCH = "no_epoch"  #: the log's time lies before every key epoch
    NOT_STARTED = "not_started"  #: a record of a call that never started
    ALREADY_STARTED = "already_started"  #: a second `started` while the call is open
    CALL_ID_REUSED = "call_id_reused"  #: a `started` after the call's end
    UNKNOWN_USE_CASE = "unknown_use_case"  #: `started` names a use case that is not installed
    NOT_CUSTOMER = "not_customer"  #: a window or label of someone who is not certainly the customer
    KILLED_WORKER = "killed_worker"  #: the process died at this record twice


class UnusableError(ValueError):
    """A record cannot be used. The message names the field and the remedy, never the record's content."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Where the record lies, what it was and why it is here; never its payload."""

    topic: str
    partition: int
    offset: int
    reason: Reason
    message: str
    type: str | None  #: `ce_type`, where it is one of ours
    size: int  #: bytes of payload
    sha256: str | None  #: of an audio payload; a text's could lead back to what it says
    call: str | None = None  #: pseudonym, where one could be made
