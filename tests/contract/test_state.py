"""A call's state as the running version wrote it is read by the next one: golden bytes, in msgpack."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from streams.domain import hearing
from streams.domain.call import Ledger
from streams.domain.checkpoint import Point
from streams.domain.consent import Permission
from streams.domain.overlap import Frame
from streams.domain.records import Consent, Notice, Purpose, Role
from streams.domain.roles import Likeness, OneChannel
from streams.domain.voices import Memory, Voices
from streams.domain.windows import Fate

GOLDEN = Path(__file__).parent / "golden"
#: Without `turn_at`; without `echo`, `prints`, what a channel holds instead of its speaker's voice, and voices.
_LATER = {"echo": b"", "prints": b""}
EARLIER = {"state-1.msgpack.hex": {"turn_at": None, **_LATER}, "state-2.msgpack.hex": _LATER}
NOW = GOLDEN / "state-3.msgpack.hex"
ONE_CHANNEL_EARLIER = GOLDEN / "state-3-one-channel.msgpack.hex"  #: without the space of what is remembered
ONE_CHANNEL = GOLDEN / "state-4-one-channel.msgpack.hex"
AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
ROLES = (Role.AGENT, Role.CUSTOMER)


def point() -> Point:
    notice = Notice("ivr-7", "3", "es", AT)
    grant = Consent(Purpose.ALERTING, granted=True, basis="consent", given_at=AT, notice=notice)
    ledger = Ledger(
        call="c" * 64,
        epoch="2026-11",
        use_case="demo",
        language="es",
        channels=ROLES,
        started_at=AT,
        last_at=AT,
        permission=Permission(notice, {Purpose.ALERTING: grant}, since=0),
        reference="T-1",
        next_sequence=5,
        media_ms=800,
        rate=8000,
        fates={Fate.GAP: 200},
        missing=1,
    )
    heard = hearing.resume(hearing.silent(ROLES), at_ms=0, consent_seq=0)
    for number, probability in enumerate([(0.9, 0.1), (0.1, 0.9), (0.1, 0.9), (0.9, 0.9)]):
        heard, _ = hearing.step(heard, Frame(number * 32, number * 32 + 32, probability, (10, 20)))
    return Point(
        ledger, heard, (b"\0" * 8, b"\1" * 8), offset=7, audio_offset=6, turn_at=AT, echo=b"\2" * 8, prints=b"\3" * 8
    )


def one_channel() -> Point:
    """The same call with both parties on one channel: a turn of the customer is open, and a piece that is not told."""
    two, first = point(), OneChannel(Role.AGENT, after_ms=500)
    heard = hearing.resume(hearing.silent((Role.MIXED,), first), at_ms=0, consent_seq=0)
    frames = [Frame(ms, ms + 32, (0.9,), (10,)) for ms in range(0, 150 * 32, 32)]
    heard, _ = hearing.steps(heard, frames)
    voices = Voices(b"\1" * 8, (6.5, 7.5), spread=1.25, separation=50.0, opening=0.75, settled=True)
    memory = Memory((b"\2" * 4, b"\3" * 4), (False, True), (b"\4" * 4,), voices)
    customers = Likeness(-9.0, -1.0, 1.0, separation=50.0, opening=0.75, pieces=6.5)
    heard, _ = hearing.tell(heard, memory, [customers] * 3)
    ledger = replace(two.ledger, channels=(Role.MIXED,), told=first)
    return replace(two, ledger=ledger, hearing=heard, activity=(b"\0" * 8,), echo=b"")


def test_the_state_that_an_earlier_version_wrote_is_read() -> None:
    for name, lacking in EARLIER.items():
        written = bytes.fromhex((GOLDEN / name).read_text())
        assert msgspec.msgpack.decode(written, type=Point) == replace(point(), **lacking)
    assert msgspec.msgpack.decode(bytes.fromhex(NOW.read_text()), type=Point) == point()
    for path in (ONE_CHANNEL_EARLIER, ONE_CHANNEL):
        assert msgspec.msgpack.decode(bytes.fromhex(path.read_text()), type=Point) == one_channel()


def test_the_state_is_written_as_before() -> None:
    # Where this fails, give new fields defaults and keep the old golden bytes beside the new ones.
    assert msgspec.msgpack.encode(point(), order="deterministic").hex() == NOW.read_text().strip()
    assert msgspec.msgpack.encode(one_channel(), order="deterministic").hex() == ONE_CHANNEL.read_text().strip()
