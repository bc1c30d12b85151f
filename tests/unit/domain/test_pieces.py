"""Speech in pieces, on timelines: one character a frame of 32 ms; S speaks, M is an announcement."""

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain import pieces
from streams.domain.overlap import FRAME_MS
from streams.domain.pieces import LATENCY_MS, PAUSE_MS, PIECE_MS, Cutter, Piece


def cut(timeline: str, cutter: Cutter | None = None, from_frame: int = 0) -> tuple[Cutter, list[Piece]]:
    cutter, found = cutter or Cutter(), []
    for index, mark in enumerate(timeline, from_frame):
        times = {"start_ms": index * FRAME_MS, "end_ms": index * FRAME_MS + FRAME_MS}
        cutter, piece = pieces.step(cutter, speaks=mark == "S", announced=mark == "M", **times)
        found += [piece] if piece is not None else []
    return cutter, found


def test_a_piece_ends_when_it_is_long_enough_and_the_next_is_joined_to_it() -> None:
    _, found = cut("S" * 80)
    assert found == [Piece(0, PIECE_MS, joined=False), Piece(PIECE_MS, 2 * PIECE_MS, joined=True)]


def test_a_piece_ends_with_a_pause_and_the_next_is_not_joined_to_it() -> None:
    _, found = cut("S" * 20 + "-" * 10 + "S" * 20 + "-" * 10)
    assert found == [Piece(0, 640, joined=False), Piece(960, 1600, joined=False)]


def test_a_shorter_pause_stays_inside() -> None:
    _, found = cut("S" * 10 + "-" * 9 + "S" * 10 + "-" * 10)
    assert found == [Piece(0, 928, joined=False)]


def test_an_announcement_makes_pieces_that_are_marked_however_little_of_them_it_is() -> None:
    _, found = cut("S" * 39 + "M" + "S" * 20 + "-" * 10)
    assert [piece.announced for piece in found] == [True, False]
    _, found = cut("M" * 20 + "-" * 10)
    assert found == [Piece(0, 640, joined=False, announced=True)]


timelines = st.lists(st.tuples(st.sampled_from("SM-"), st.integers(1, 60)), max_size=20).map(
    lambda runs: "".join(mark * count for mark, count in runs)
)


@settings(deadline=None, max_examples=30)
@given(timelines, st.data())
def test_pieces_hold_all_speech_but_an_open_rest_however_it_is_taken_in(timeline: str, data: st.DataObject) -> None:
    split = data.draw(st.integers(0, len(timeline)))
    whole, found = cut(timeline + "-" * 10)
    half, early = cut(timeline[:split])
    rest, late = cut(timeline[split:] + "-" * 10, half, split)
    assert (rest, early + late) == (whole, found)
    covered = {ms for piece in found for ms in range(piece.start_ms, piece.end_ms, FRAME_MS)}
    assert {index * FRAME_MS for index, mark in enumerate(timeline) if mark in "SM"} <= covered
    assert all(0 < piece.end_ms - piece.start_ms <= PIECE_MS for piece in found)
    assert 2 * PIECE_MS + PAUSE_MS == LATENCY_MS
