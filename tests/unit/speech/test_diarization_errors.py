import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from ops.bench.diarization_errors import (
    FAIR,
    FORGIVING,
    FULL,
    PARTS,
    Errors,
    Protocol,
    annotated,
    errors,
    rates,
    unspoken,
)
from streams.speech.turns import SpeakerTurn

WHOLE_S = 20
WHOLE = Timeline([Segment(0, WHOLE_S)])

spans = st.tuples(st.integers(0, 2), st.integers(0, WHOLE_S * 10 - 1), st.integers(1, 40))
said = st.lists(spans, min_size=1, max_size=6).map(
    lambda each: [SpeakerTurn(who, 100 * at, min(100 * (at + length), 1000 * WHOLE_S)) for who, at, length in each]
)


def reference(turns: list[SpeakerTurn]) -> Annotation:
    return annotated(turns).rename_labels({0: "A", 1: "B", 2: "C"}).support()


@settings(max_examples=40, deadline=None)
@given(wanted=said, found=said, protocol=st.sampled_from([FULL, FAIR, FORGIVING]))
def test_errors_are_those_of_pyannote(wanted: list[SpeakerTurn], found: list[SpeakerTurn], protocol: Protocol) -> None:
    metric = DiarizationErrorRate(collar=2 * protocol.collar_s, skip_overlap=not protocol.overlap)
    theirs = metric(reference(wanted), annotated(found).support(), uem=WHOLE, detailed=True)
    (ours,) = errors(reference(wanted), annotated(found).support(), [WHOLE], protocol)
    assert [ours.spoken, ours.missed, ours.false_alarm, ours.confused] == pytest.approx(
        [1000 * theirs[name] for name in PARTS], abs=1
    )


@settings(max_examples=40, deadline=None)
@given(wanted=said, found=said, cut=st.integers(1, WHOLE_S - 1))
def test_parts_add_up_to_the_whole(wanted: list[SpeakerTurn], found: list[SpeakerTurn], cut: int) -> None:
    parts = [Timeline([Segment(0, cut)]), Timeline([Segment(cut, WHOLE_S)])]
    turns = annotated(found).support()
    (whole,), cuts = errors(reference(wanted), turns, [WHOLE]), errors(reference(wanted), turns, parts)
    for name in Errors.__slots__:
        assert sum(getattr(each, name) for each in cuts) == getattr(whole, name)


def test_each_error_is_counted_for_what_it_is() -> None:
    wanted = annotated([SpeakerTurn(0, 0, 10_000), SpeakerTurn(1, 12_000, 20_000)]).rename_labels({0: "A", 1: "B"})
    turns = [SpeakerTurn(7, 0, 4000), SpeakerTurn(7, 5000, 10_000), SpeakerTurn(7, 11_000, 15_000)]
    found = annotated([*turns, SpeakerTurn(3, 15_000, 20_000)])
    each = errors(wanted, found, [WHOLE])
    assert each == [Errors(spoken=18_000, missed=1000, false_alarm=1000, confused=3000)]
    percent = rates(each)
    assert percent.total.value == pytest.approx(100 * 5 / 18)
    assert (percent.missed, percent.false_alarm) == pytest.approx((100 / 18, 100 / 18))


def test_the_interval_is_that_of_files_drawn_again() -> None:
    rng = np.random.default_rng(0)
    each = [Errors(30_000, 0, 0, int(share * 30_000)) for share in rng.uniform(0.1, 0.5, 40)]
    found = rates(each).confusion
    shares = 100 * np.array([one.confused for one in each]) / 30_000
    spread = 1.96 * shares.std() / np.sqrt(len(shares))
    assert found.value == pytest.approx(shares.mean())
    assert (found.low, found.high) == pytest.approx((shares.mean() - spread, shares.mean() + spread), rel=0.05)


CALL = {"caller": [Segment(0, 4), Segment(9, 12), Segment(13, 15)], "agent": [Segment(3, 8)]}


def test_every_scored_piece_in_which_the_caller_is_silent_is_listed_with_who_speaks() -> None:
    known = Annotation()
    for speaker, segments in CALL.items():
        for segment in segments:
            known[segment] = speaker
    listed = unspoken(known, Timeline([Segment(1, 5), Segment(7, 10), Segment(11, 14)]), "caller")
    told = [(piece.start, piece.end, who) for piece, who in listed]
    assert told == [(4, 5, "agent"), (7, 9, "agent"), (12, 13, "nobody")]
