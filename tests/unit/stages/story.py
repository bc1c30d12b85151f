"""What the contract says of a call, told a second time and far simpler than the fold: the model's oracle."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from streams.domain.call import IDLE_END
from streams.domain.records import Audio, CallRecord, Consent, Encoding, Ended, Gap, Notice, Purpose, Started

LOUD, RATE = 2_000, 8_000


def sound(speaking: str, ms: int, channels: str, salt: int) -> Audio:
    """A chunk in which those of `channels` speak who are named; each chunk has a loudness of its own."""
    frame = b"".join((LOUD + salt if each in speaking else 0).to_bytes(2, "big") for each in channels)
    return Audio(Encoding.L16, RATE, len(channels), frame * (ms * RATE // 1000))


def withdraws(record: CallRecord) -> bool:
    body = record.body
    return isinstance(body, Consent) and body.purpose is Purpose.ALERTING and not body.granted


@dataclass
class Story:
    """A call up to the last record that was told of it."""

    opened: int | None = None
    withdrawn: int | None = None  #: offset of the withdrawal
    over: bool = False
    began_ms: int = 0
    media_ms: int = 0
    again_ms: int = 0  #: of chunks that came twice or too late
    allowed: list[tuple[int, int]] = field(default_factory=list)  #: media time that may be judged
    _sequence: int = 0
    _last_at: datetime | None = None
    _notice: Notice | None = None
    _grant: Consent | None = None

    @classmethod
    def of(cls, told: Iterable[tuple[int, CallRecord]]) -> "Story":
        story = cls()
        for offset, record in told:
            story.tell(offset, record)
        return story

    def tell(self, offset: int, record: CallRecord) -> None:
        if self.withdrawn is not None:
            return
        if withdraws(record):
            self.withdrawn = offset
        elif self.opened is None:
            if isinstance(record.body, Started):
                self.opened, self._sequence, self._last_at = offset, record.sequence + 1, record.logged_at
                self.began_ms = self.media_ms = record.media_ms
                self._notice = record.body.notice
                self._consent(record.body.consents)
        else:
            self.over = self.over or record.logged_at - self._last >= IDLE_END
            if not self.over:
                self._next(record)

    @property
    def _last(self) -> datetime:
        assert self._last_at is not None
        return self._last_at

    def _next(self, record: CallRecord) -> None:
        body = record.body
        new = record.sequence >= self._sequence
        if isinstance(body, Audio) and (not new or record.media_ms < self.media_ms):
            self.again_ms += body.duration_ms
        elif isinstance(body, Audio):
            self.media_ms = record.media_ms + body.duration_ms
            if self._in_force(record.logged_at):
                self.allowed.append((record.media_ms, self.media_ms))
        elif new and isinstance(body, Gap):
            self.media_ms = max(self.media_ms, record.media_ms + body.duration_ms)
        elif new and isinstance(body, Consent):
            self._consent([body])
        elif new and isinstance(body, Ended):
            self.media_ms, self.over = max(self.media_ms, record.media_ms), True
        if new:
            self._sequence, self._last_at = record.sequence + 1, record.logged_at

    def _consent(self, given: Iterable[Consent]) -> None:
        for consent in given:
            if consent.purpose is Purpose.ALERTING:
                self._grant = consent

    def _in_force(self, at: datetime) -> bool:
        grant = self._grant
        notice = (grant and grant.notice) or self._notice
        if grant is None or notice is None or not grant.granted or max(grant.given_at, notice.given_at) > at:
            return False
        return grant.expires_at is None or grant.expires_at > at

    def may_judge(self, start_ms: int, end_ms: int) -> bool:
        """Whether every millisecond of this was said while notice and consent were in force."""
        for begin, end in self.allowed:
            if begin <= start_ms < end:
                start_ms = end
        return start_ms >= end_ms

    @property
    def published_ms(self) -> int:
        """What each channel's fates must sum up to."""
        return self.media_ms - self.began_ms + self.again_ms

    def idle_at(self) -> datetime | None:
        """When the call ends by itself."""
        return None if self._last_at is None else self._last_at + IDLE_END + timedelta(seconds=10)
