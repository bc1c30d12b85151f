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
from streams.domain.windows import Fate

GOLDEN = Path(__file__).parent / "golden"
#: Without `turn_at`; without `echo`, `prints` and what a channel holds instead of its speaker's voice.
_LATER = {"echo": b"", "prints": b""}
EARLIER = {"state-1.msgpack.hex": {"turn_at": None, **_LATER}, "state-2.msgpack.hex": _LATER}
NOW = GOLDEN / "state-3.msgpack.hex"
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


def test_the_state_that_an_earlier_version_wrote_is_read() -> None:
    for name, lacking in EARLIER.items():
        written = bytes.fromhex((GOLDEN / name).read_text())
        assert msgspec.msgpack.decode(written, type=Point) == replace(point(), **lacking)
    assert msgspec.msgpack.decode(bytes.fromhex(NOW.read_text()), type=Point) == point()


def test_the_state_is_written_as_before() -> None:
    # Where this fails, give new fields defaults and keep the old golden bytes beside the new ones.
    assert msgspec.msgpack.encode(point(), order="deterministic").hex() == NOW.read_text().strip()
