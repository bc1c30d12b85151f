"""Pieces cut again by who is heard in them, on timelines: a figure a frame of 32 ms, 3 is both at once, 0 nobody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.overlap import FRAME_MS
from streams.domain.pieces import Piece, divide

START_MS = 3200


def divided(
    timeline: str, before: str = "", *, joined: bool = False, announced: bool = False
) -> tuple[str, list[bool]]:
    """Pieces as letters, overlap as `=`, and which pieces are joined to the one before."""
    piece = Piece(START_MS, START_MS + len(timeline) * FRAME_MS, joined, announced)
    parts, overlaps = divide(piece, [int(mark) for mark in "0" * 10 + before + timeline])
    drawn = ["-"] * len(timeline)
    for letter, part in zip("abcdefgh", parts, strict=False):
        first, last = ((at - START_MS) // FRAME_MS for at in (part.start_ms, part.end_ms))
        drawn[first:last] = letter * (last - first)
    for start_ms in overlaps:
        assert drawn[(start_ms - START_MS) // FRAME_MS] == "-"
        drawn[(start_ms - START_MS) // FRAME_MS] = "="
    return "".join(drawn), [part.joined for part in parts]


def test_a_piece_of_one_speaker_stays_whole_over_what_is_not_heard_as_speech() -> None:
    assert divided("0110112200"[:6], joined=True) == ("aaaaaa", [True])
    assert divided("000000") == ("aaaaaa", [False])


def test_another_speaker_begins_a_piece_that_is_not_joined_to_the_one_before() -> None:
    assert divided("1111002222", joined=True) == ("aaaaaabbbb", [True, False])


def test_overlap_is_in_no_piece_and_joins_none() -> None:
    assert divided("1111331111") == ("aaaa==bbbb", [False, False])
    assert divided("3333") == ("====", [])


@pytest.mark.parametrize(("before", "joined"), [("1", True), ("100", True), ("2", False), ("3", False), ("000", True)])
def test_a_piece_that_another_speaker_led_up_to_is_not_joined(before: str, joined: bool) -> None:
    assert divided("1111", before, joined=True) == ("aaaa", [joined])


def test_what_is_announced_stays_whole() -> None:
    assert divided("1122331", joined=True, announced=True) == ("aaaaaaa", [True])


@given(st.text("0123", min_size=1, max_size=40), st.text("0123", max_size=10), st.booleans())
def test_every_frame_is_in_one_piece_or_overlap_and_no_piece_has_two_speakers(
    timeline: str, before: str, joined: bool
) -> None:
    piece = Piece(START_MS, START_MS + len(timeline) * FRAME_MS, joined)
    parts, overlaps = divide(piece, [int(mark) for mark in "0" * 10 + before + timeline])
    of = [at for part in parts for at in range(part.start_ms, part.end_ms, FRAME_MS)]
    assert sorted([*of, *overlaps]) == list(range(piece.start_ms, piece.end_ms, FRAME_MS))
    assert [at for at in overlaps if timeline[(at - START_MS) // FRAME_MS] != "3"] == []
    for part in parts:
        first, last = ((at - START_MS) // FRAME_MS for at in (part.start_ms, part.end_ms))
        assert len({*timeline[first:last]} - {"0"}) <= 1
