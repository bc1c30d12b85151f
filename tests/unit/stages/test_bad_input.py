"""Publishers that get it wrong: what becomes of each record, and that its neighbours are heard all the same."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from unit.stages.bench import EPOCH, GRANT, STARTED, Bench, call, chunks, publish

from streams.adapters.memory_topics import Kept
from streams.domain.deadletters import Reason
from streams.domain.records import Audio, CallRecord
from streams.kafka.unreadable import Hollow
from streams.ports import Fetched

TALK = "-" + "c" * 12 + "--" + "c" * 12 + "--"  # 14.5 s: two windows
SPOIL = 3  #: the record that is damaged; it holds silence at the call's start


def heard(records: list[CallRecord], spoil: Callable[[Kept], None] = lambda _: None, at: int = SPOIL) -> Bench:
    bench = Bench()
    kept = publish(bench, records, step_ms=1)
    spoil(kept[at])
    bench.handle(kept)
    return bench


def fates(bench: Bench) -> dict[str, int]:
    return bench.fates()["1 customer"]


def spans(bench: Bench) -> list[tuple[int, int]]:
    return sorted((start, end) for start, end, _, _ in bench.windows().values())


def test_a_record_that_could_not_be_read_is_a_dead_letter_and_its_time_a_gap() -> None:
    bench = Bench()
    kept: list[Fetched] = [*publish(bench, call(TALK, chunk_ms=100), step_ms=1)]
    kept[SPOIL] = Hollow(kept[SPOIL].topic, kept[SPOIL].partition, kept[SPOIL].offset)
    for part in (kept[: SPOIL + 1], kept[SPOIL + 1 :]):
        bench.handle(part)
    assert [(letter.reason, letter.offset) for letter in bench.letters.letters] == [
        (Reason.MALFORMED, kept[SPOIL].offset)
    ]
    assert fates(bench)["gap"] == 100
    assert len(spans(bench)) == 2


def test_a_truncated_chunk_is_a_dead_letter_and_its_time_a_gap() -> None:
    def truncate(kept: Kept) -> None:
        kept.value = (kept.value or b"")[:-1]

    bench = heard(call(TALK, chunk_ms=100), truncate)
    assert [letter.reason for letter in bench.letters.letters] == [Reason.BAD_AUDIO]
    assert fates(bench)["gap"] == 100
    assert sum(fates(bench).values()) == len(TALK) * 500
    assert len(spans(bench)) == 2


def test_a_chunk_that_lost_whole_milliseconds_leaves_a_gap_of_them() -> None:
    def truncate(kept: Kept) -> None:
        kept.value = (kept.value or b"")[: 60 * 8 * 4]

    bench = heard(call(TALK, chunk_ms=100), truncate)
    assert bench.letters.letters == []
    assert fates(bench)["gap"] == 40
    assert sum(fates(bench).values()) == len(TALK) * 500


def declared(records: list[CallRecord], change: Callable[[Audio], Audio]) -> list[CallRecord]:
    """The call with its chunks declared as something else."""
    bodies = [change(each.body) if isinstance(each.body, Audio) else each.body for each in records]
    return [replace(each, body=body) for each, body in zip(records, bodies, strict=True)]


def swapped(chunk: Audio) -> Audio:
    return replace(chunk, data=np.frombuffer(chunk.data, "<i2").astype(">i2").tobytes())


def test_samples_of_another_byte_order_than_declared_are_taken_for_whatever_they_sound_like() -> None:
    quiet = call("-" * 8)
    assert fates(heard(quiet)) == {"silence": 4000}
    bench = heard(declared(quiet, swapped))
    assert bench.letters.letters == []
    assert fates(bench) == {"overlap": 4000}  # noise on both channels


def test_samples_of_a_lower_rate_than_declared_end_too_soon_and_leave_gaps() -> None:
    bench = heard(declared(call("-" * 8), lambda chunk: replace(chunk, rate=16_000)))
    assert bench.letters.letters == []
    assert fates(bench) == {"silence": 2000, "gap": 2000}


def test_samples_of_a_higher_rate_than_declared_end_too_late_and_make_the_next_ones_late() -> None:
    records = [replace(each, media_ms=each.media_ms // 2) for each in call("-" * 8)]
    bench = heard(records)
    assert bench.letters.letters == []
    assert fates(bench) == {"silence": 2000, "late": 2000}


@pytest.mark.parametrize("rate", [16_000, 8_000])
def test_another_rate_or_number_of_channels_within_a_call_is_a_dead_letter(rate: int) -> None:
    records = call(TALK, chunk_ms=100)
    body = records[SPOIL].body
    assert isinstance(body, Audio)
    odd = replace(body, rate=rate) if rate != body.rate else replace(body, channels=1, data=body.data[: 100 * 8 * 2])
    bench = heard([*records[:SPOIL], replace(records[SPOIL], body=odd), *records[SPOIL + 1 :]])
    assert [letter.reason for letter in bench.letters.letters] == [Reason.AUDIO_CHANGED]
    assert fates(bench)["dead"] == odd.duration_ms
    assert len(spans(bench)) == 2


def test_a_duplicate_is_counted_and_dropped() -> None:
    records = call(TALK)
    bench, calm = heard([*records[:4], records[3], *records[4:]]), heard(records)
    assert fates(bench) == {**fates(calm), "duplicate": 200}
    assert spans(bench) == spans(calm)
    assert bench.letters.letters == []


def test_records_out_of_order_are_heard_from_the_first_that_came() -> None:
    records = call(TALK)
    records[2], records[3] = records[3], records[2]
    bench = heard(records)
    assert (fates(bench)["gap"], fates(bench)["duplicate"]) == (200, 200)
    assert bench.letters.letters == []


def test_a_chunk_from_before_what_was_heard_is_late() -> None:
    records = call(TALK)
    late = replace(records[10], media_ms=records[2].media_ms)
    bench = heard([*records[:10], late, *records[11:]])
    assert (fates(bench)["late"], fates(bench)["gap"]) == (200, 200)
    assert bench.letters.letters == []


def test_lost_records_are_a_gap() -> None:
    records = call(TALK)
    bench = heard([*records[:3], *records[5:]])
    assert fates(bench)["gap"] == 400
    assert sum(fates(bench).values()) == len(TALK) * 500


def test_audio_after_the_end_is_counted_and_changes_nothing() -> None:
    records = call(TALK)
    after = replace(records[-3], sequence=len(records), media_ms=len(TALK) * 500)
    bench, calm = heard([*records, after]), heard(records)
    assert (fates(bench), spans(bench)) == (fates(calm), spans(calm))
    assert bench.counted("audio_ms", role="mixed", fate="after_end") == 2 * 200
    assert calm.counted("audio_ms", role="mixed", fate="after_end") == 0
    assert bench.letters.letters == []


def test_a_grant_after_a_withdrawal_is_counted_and_opens_nothing() -> None:
    records = call(TALK)
    withdrawn = replace(records[SPOIL], body=replace(GRANT, granted=False))
    bench = heard([*records[:SPOIL], withdrawn, replace(records[SPOIL + 1], body=GRANT), *records[SPOIL + 2 :]])
    assert bench.counted("grants_refused") == 1
    assert (spans(bench), bench.tables.calls) == ([], {})
    assert bench.letters.letters == []


@pytest.mark.parametrize(
    "started",
    [
        replace(STARTED, consents=()),
        replace(STARTED, notice=None),
        replace(STARTED, consents=(replace(GRANT, expires_at=GRANT.given_at),)),
        replace(STARTED, consents=(replace(GRANT, basis=" "),)),
        replace(STARTED, consents=(replace(GRANT, given_at=GRANT.given_at + timedelta(days=1)),)),
    ],
    ids=["no consent", "no notice", "expired", "no basis", "not yet given"],
)
def test_audio_without_notice_and_consent_in_force_is_counted_and_never_decoded(started: object) -> None:
    bench = Bench()
    kept = publish(bench, call(TALK, started=started), step_ms=1)  # type: ignore[arg-type]
    bench.stage._activity = None  # type: ignore[assignment]  # who hears, fails
    bench.handle(kept)
    assert fates(bench) == {"no_consent": len(TALK) * 500}


def test_a_call_from_before_the_first_epoch_is_a_dead_letter_without_a_name() -> None:
    bench = Bench()
    bench.now = EPOCH.not_before - timedelta(minutes=1)
    bench.handle(publish(bench, call("cc")[:1]))
    assert [(letter.reason, letter.call) for letter in bench.letters.letters] == [(Reason.NO_EPOCH, None)]


@pytest.mark.parametrize("ms", [5_001, 40_000])
def test_a_chunk_of_over_five_seconds_is_a_dead_letter(ms: int) -> None:
    records = call(TALK)
    (long,) = chunks("-" * 100, chunk_ms=50_000)
    body = Audio(long.encoding, 8000, 2, long.data[: ms * 8 * 4])
    bench = heard([*records[:SPOIL], replace(records[SPOIL], body=body), *records[SPOIL + 1 :]])
    assert [letter.reason for letter in bench.letters.letters] == [Reason.OVERSIZED]
    assert len(spans(bench)) == 2
