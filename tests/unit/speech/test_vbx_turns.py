from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.speech.plda import Plda
from streams.speech.turns import SpeakerTurn
from streams.speech.vbx import MEETING, TELEPHONE, Settings
from streams.speech.vbx_clusters import MOST, calibrated, cluster
from streams.speech.vbx_turns import diarize

Array = np.ndarray
VALUES, DIMS = 24, 16
WINDOW_MS, STEP_MS = 1440, 240
seeds = st.integers(0, 2**32 - 1)
published = st.sampled_from([MEETING, TELEPHONE])


def a_plda() -> Plda:
    """As a network's would be: directions of 24 values in 16 dimensions, with far more between speakers than within."""
    rng = np.random.default_rng(7)
    turn, _ = np.linalg.qr(rng.normal(size=(VALUES, DIMS)))
    return Plda(
        mean=rng.normal(0, 0.1, VALUES),
        lda=turn,
        lda_mean=np.zeros(DIMS),
        plda_mean=np.zeros(DIMS),
        diagonal=np.eye(DIMS) * 16,
        between=np.full(DIMS, 12.0),
    )


PLDA = a_plda()


def windows(count: int, start_ms: int = 0) -> Array:
    starts = start_ms + STEP_MS * np.arange(count)
    return np.stack([starts, starts + WINDOW_MS], axis=1)


def voices(speakers: Array, seed: int) -> Array:
    """X-vectors of these speakers (of 0 to 15, as far apart as can be), with what differs within a speaker."""
    rng = np.random.default_rng(seed)
    said = np.eye(DIMS)[speakers] + rng.normal(0, 0.06, (len(speakers), DIMS))
    return said @ PLDA.lda.T + PLDA.mean


@settings(max_examples=30, deadline=None)
@given(seed=seeds, lengths=st.lists(st.integers(6, 30), min_size=2, max_size=6), chosen=published)
def test_two_speakers_far_apart_are_found_exactly(seed: int, lengths: list[int], chosen: Settings) -> None:
    speakers = np.repeat(np.arange(len(lengths)) % 2, lengths)
    segments = windows(len(speakers))
    turns = diarize(voices(speakers, seed), segments, PLDA, chosen)
    ends = (np.cumsum(lengths)[:-1] * STEP_MS + (WINDOW_MS - STEP_MS) // 2).tolist()
    cuts = [0, *ends, int(segments[-1, 1])]
    assert turns == [SpeakerTurn(at % 2, start, end) for at, (start, end) in enumerate(pairwise(cuts))]


@settings(max_examples=30, deadline=None)
@given(seed=seeds, count=st.integers(1, 100), chosen=published)
def test_one_speaker_is_one(seed: int, count: int, chosen: Settings) -> None:
    segments = windows(count, start_ms=320)
    turns = diarize(voices(np.zeros(count, int), seed), segments, PLDA, chosen)
    assert turns == [SpeakerTurn(0, 320, int(segments[-1, 1]))]


@settings(max_examples=30, deadline=None)
@given(seed=seeds, count=st.integers(1, 40), spoken=st.integers(1, 5), chosen=published)
def test_the_order_in_which_segments_come_changes_nothing(seed: int, count: int, spoken: int, chosen: Settings) -> None:
    rng = np.random.default_rng(seed)
    vectors = voices(rng.integers(0, spoken, count), seed)
    starts = rng.integers(0, 20, count) * STEP_MS  # many at the same time
    segments = np.stack([starts, starts + rng.integers(1, 4, count) * 480], axis=1)
    order = rng.permutation(count)
    turns = diarize(vectors, segments, PLDA, chosen)
    assert diarize(vectors[order], segments[order], PLDA, chosen) == turns
    assert diarize(vectors, segments, PLDA, chosen) == turns


@settings(max_examples=50, deadline=None)
@given(seed=seeds, count=st.integers(1, 40), spoken=st.integers(1, 5))
def test_turns_cover_the_segments_once_and_nothing_else(seed: int, count: int, spoken: int) -> None:
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, 60, count) * 120
    segments = np.stack([starts, starts + rng.integers(1, 15, count) * 120], axis=1)
    turns = diarize(voices(rng.integers(0, spoken, count), seed), segments, PLDA)
    covered = np.zeros(60 * 120 + 15 * 120, int)
    for turn in turns:
        assert turn.start_ms < turn.end_ms
        covered[turn.start_ms : turn.end_ms] += 1
    wanted = np.zeros_like(covered)
    for start, end in segments:
        wanted[start:end] = 1
    assert np.array_equal(covered, wanted)
    assert turns == sorted(turns, key=lambda turn: turn.start_ms)
    assert list(dict.fromkeys(turn.speaker for turn in turns)) == list(range(len({turn.speaker for turn in turns})))


@pytest.mark.parametrize("speech", [0.0, 3.5])
def test_vectors_that_are_all_the_same_are_one_speaker(speech: float) -> None:
    (turn,) = diarize(np.full((30, VALUES), speech), windows(30), PLDA)
    assert turn == SpeakerTurn(0, 0, 29 * STEP_MS + WINDOW_MS)


def test_a_call_without_speech_has_no_turns() -> None:
    assert diarize(np.empty((0, VALUES)), np.empty((0, 2), np.int64), PLDA) == []


def test_a_pause_ends_a_turn_whoever_goes_on() -> None:
    segments = np.concatenate([windows(8), windows(8, start_ms=5000)])
    turns = diarize(voices(np.zeros(16, int), 0), segments, PLDA)
    assert turns == [SpeakerTurn(0, 0, 3120), SpeakerTurn(0, 5000, 8120)]


def test_input_that_does_not_fit_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"x-vectors \(3, 24\): \(2, 24\) are needed"):
        diarize(np.zeros((3, VALUES)), windows(2), PLDA)
    with pytest.raises(ValueError, match=r"x-vectors \(2, 5\): \(2, 24\) are needed"):
        diarize(np.zeros((2, 5)), windows(2), PLDA)
    with pytest.raises(ValueError, match=r"x-vectors \(3, 24\): \(0, 24\) are needed"):
        diarize(np.zeros((3, VALUES)), windows(0), PLDA)
    with pytest.raises(ValueError, match="not finite"):
        diarize(np.full((2, VALUES), np.nan), windows(2), PLDA)
    with pytest.raises(ValueError, match="each must end after it starts"):
        diarize(np.zeros((1, VALUES)), np.array([[100, 100]]), PLDA)
    with pytest.raises(ValueError, match="10001 x-vectors: at most 10000"):
        cluster(np.zeros((MOST + 1, 1)), 0)


@settings(deadline=None)
@given(seed=seeds, low=st.floats(-0.4, 0), apart=st.floats(0.4, 0.9), share=st.floats(0.2, 0.8))
def test_scores_of_two_kinds_are_cut_between_them(seed: int, low: float, apart: float, share: float) -> None:
    rng = np.random.default_rng(seed)
    same = rng.random(500) < share
    scores = rng.normal(low, 0.03, 500) + apart * same
    threshold = calibrated(scores)
    assert ((scores > threshold) == same).all()
