from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from unit.emotion.encoders.conftest import KINDS, Network, voices

from services.emotion.encoders import readings
from services.emotion.encoders.encoder import Encoder
from services.emotion.encoders.graphs import LARGEST_S, RATE, STEP, largest, room, rungs
from services.emotion.encoders.packing import BLOCK, Geometry, Room, _stretches, pack, packs
from services.emotion.encoders.segments import segment_means

PUBLISHED = Geometry((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), 64)
CPU = torch.device("cpu")
LENGTHS = st.lists(st.integers(400, 320_000), min_size=1, max_size=8)


@given(lengths=st.lists(st.integers(1, 50), max_size=12), budget=st.integers(1, 120))
def test_every_window_is_in_one_pack_in_order_and_no_pack_of_several_is_over_the_budget(
    lengths: list[int], budget: int
) -> None:
    found = [lengths[some] for some in packs(lengths, budget)]
    assert [length for some in found for length in some] == lengths
    assert all(len(some) == 1 or (len(some) > 1 and sum(some) <= budget) for some in found)


@given(lengths=LENGTHS)
def test_a_windows_frames_are_made_of_its_own_samples_alone(lengths: list[int]) -> None:
    found = pack(PUBLISHED, lengths, CPU)
    for start, length, (first, end) in zip(found.starts, lengths, found.bounds, strict=True):
        assert end - first == PUBLISHED.frames(np.array(length)) >= 1
        rows = found.rows[first:end].numpy()
        assert rows[0] * 320 == start
        assert rows[-1] * 320 + 400 <= start + length <= found.samples
        assert np.array_equal(rows, rows[0] + np.arange(end - first))


@given(lengths=LENGTHS)
def test_frames_of_two_windows_are_parted_by_what_the_positional_convolution_sees(lengths: list[int]) -> None:
    found = pack(PUBLISHED, lengths, CPU)
    steps, changes = found.spots.diff(), found.owner.diff()
    assert set(changes.tolist()) <= {0, 1}
    assert torch.equal(steps, 1 + 64 * changes)


@given(lengths=st.lists(st.integers(40_000, 320_000), min_size=1, max_size=3))
def test_packs_in_a_room_have_its_shapes_whatever_the_windows(lengths: list[int]) -> None:
    size = room(PUBLISHED, lengths)
    assert size is not None
    found, other = pack(PUBLISHED, lengths, CPU, size), pack(PUBLISHED, [(size.slots - 1) * 320], CPU, size)
    for field in fields(found):
        if isinstance(mine := getattr(found, field.name), torch.Tensor):
            assert mine.shape == getattr(other, field.name).shape
    assert (found.samples, found.frames) == (other.samples, other.frames)
    assert found.bounds[: len(lengths)] == pack(PUBLISHED, lengths, CPU).bounds
    assert found.edges.diff().sum() == found.frames
    assert found.edges.diff().min() >= 0
    assert found.first.diff().min() >= 0


def test_a_rung_is_at_most_a_twenty_fifth_longer_than_the_last() -> None:
    found = list(rungs(PUBLISHED))
    assert all(small < large <= small * STEP for small, large in pairwise(found))
    assert found[-1] * 320 <= LARGEST_S * RATE < found[-1] * STEP * 320


def test_there_is_no_room_for_more_than_the_largest_rung_or_more_windows_than_it_has_place_for() -> None:
    assert room(PUBLISHED, [320_000] * 16) is None
    assert room(PUBLISHED, [400] * largest(PUBLISHED).windows) is None


def test_many_short_windows_have_the_room_of_a_longer_stream() -> None:
    found = room(PUBLISHED, [400] * 10)
    assert found is not None
    assert found.windows > 10


@given(counts=st.lists(st.integers(0, 300), min_size=1, max_size=6), size=st.sampled_from([8, 64]))
def test_stretches_hold_every_frame_of_every_window_once_and_the_rest_are_empty(counts: list[int], size: int) -> None:
    found = _stretches(np.array(counts), size)
    held = [
        (window, start + at) for window, start in found.tolist() for at in range(size) if start + at < counts[window]
    ]
    assert held == [(window, frame) for window, count in enumerate(counts) for frame in range(count)]


@given(lengths=st.lists(st.integers(400, 40_000), min_size=1, max_size=4))
def test_every_frame_has_a_place_of_its_own_in_its_windows_blocks(lengths: list[int]) -> None:
    found = pack(PUBLISHED, lengths, CPU)
    blocks = found.blocks[found.places // BLOCK]
    assert torch.equal(blocks[:, 0].long(), found.owner)
    within = torch.arange(found.frames) - found.edges[found.owner]
    assert torch.equal(blocks[:, 1] + found.places % BLOCK, within)


@pytest.mark.parametrize(("name", "norm", "stable"), KINDS)
def test_a_pack_in_a_room_gives_what_it_gives_without(network: Network, name: str, norm: str, stable: bool) -> None:
    encoder, windows = Encoder(network(name, norm, stable)), voices([8_000, 8_079, 24_079])
    lengths = [len(window) for window in windows]
    size = Room(slots=140, windows=4)
    packed = pack(encoder.geometry, lengths, CPU, size)
    stream = encoder._stream(windows, packed, encoder.ready)
    found = readings.means(encoder.states(stream, packed), packed, range(5))
    torch.testing.assert_close(found, encoder.means(windows, range(5)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("windows", [2, 5])
def test_norms_and_means_by_segments_are_those_window_by_window(network: Network, windows: int) -> None:
    encoder = Encoder(network("wav2vec2", norm="group"))
    packed = pack(encoder.geometry, [8_079], CPU, Room(slots=140, windows=windows))
    convolution = encoder.extract.convolutions[0]
    rows = convolution.products(encoder._stream(voices([8_079]), packed, encoder.ready)[:, None])
    by_segments = convolution.norm._by_segments(rows.clone(), packed.first)
    by_window = convolution.norm(rows.clone(), packed)
    (start, end), *_ = packed.spans
    torch.testing.assert_close(by_segments[start:end], by_window[start:end], atol=1e-5, rtol=0)
    frames = torch.randn(packed.frames, 3)
    first, last = packed.bounds[0]
    torch.testing.assert_close(segment_means(frames, packed.edges)[0], frames[first:last].mean(dim=0))
