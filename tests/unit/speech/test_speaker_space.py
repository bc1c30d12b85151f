from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from streams.speech import speaker_space
from streams.speech.pyannote_models import ModelError
from streams.speech.speaker_space import SpeakerSpace, estimated, read, write

VALUES = 40
Array = np.ndarray


def speakers(count: int = 6, pieces: int = 80, apart: float = 3, seed: int = 0) -> list[Array]:
    """Vectors whose spread is not the same in all directions, around a place for each speaker."""
    rng = np.random.default_rng(seed)
    mix, places = rng.normal(size=(VALUES, VALUES)), apart * rng.normal(size=(count, VALUES))
    return [(place + rng.normal(size=(pieces, VALUES)) @ mix + 30).astype(np.float32) for place in places]


@pytest.mark.parametrize("pieces", [80, 12])  # the second are fewer than there are values: the fit is too good
def test_the_own_pieces_of_a_speaker_who_was_not_heard_lie_about_1_from_their_mean_in_every_dimension(
    pieces: int,
) -> None:
    said = speakers(count=12)
    space = estimated("a" * 64, [each[:pieces] for each in said[:6]])
    unheard = [space.project(each) for each in said[6:]]
    spread = np.sqrt(np.mean([each.var(axis=0) for each in unheard], axis=0))
    assert ((spread > 0.6) & (spread < 1.6)).all()
    heard = [space.project(each[:pieces]) for each in said[:6]]
    assert np.mean([each.var(axis=0) for each in heard]) <= 1.01


def test_there_are_fewer_dimensions_than_speakers_and_32_at_most() -> None:
    assert estimated("a" * 64, speakers(4)).weights.shape == (VALUES, 3)
    assert estimated("a" * 64, speakers(36, 6)).weights.shape == (VALUES, 32)


def test_in_the_space_speakers_lie_farther_apart_than_in_any_other_of_as_many_dimensions() -> None:
    said = speakers()
    space = estimated("a" * 64, said)
    turned = np.linalg.qr(np.random.default_rng(1).normal(size=(VALUES, 5)))[0].astype(np.float32)
    other = SpeakerSpace("a" * 64, space.mean, turned)

    def apart(space: SpeakerSpace) -> float:
        found = [space.project(each) for each in said]
        return float(
            np.var([each.mean(axis=0) for each in found], axis=0).sum() / np.mean([each.var() for each in found])
        )

    assert apart(space) > apart(other)


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.integers(0, 79), min_size=1, max_size=9), data=st.data())
def test_neighbours_change_no_bit_of_a_projected_vector(rows: list[int], data: st.DataObject) -> None:
    (vectors, *others) = speakers(3)
    space, index = estimated("a" * 64, [vectors, *others]), data.draw(st.integers(0, len(rows) - 1))
    assert space.project(vectors[rows])[index].tobytes() == space.project(vectors[[rows[index]]])[0].tobytes()


def test_what_is_written_is_read_again_for_the_same_weights_alone(tmp_path: Path) -> None:
    space, path = estimated("a" * 64, speakers()), tmp_path / speaker_space.NAME
    write(path, space)
    again = read(path, "a" * 64)
    assert (again.mean.tobytes(), again.weights.tobytes()) == (space.mean.tobytes(), space.weights.tobytes())
    with pytest.raises(ModelError, match=r"was estimated with other weights than these; estimate it again: python ops"):
        read(path, "b" * 64)


def test_a_space_that_cannot_be_used_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / speaker_space.NAME
    with pytest.raises(ModelError, match=r"not there; estimate it on recordings of known speakers: python ops/exp"):
        read(path, "a" * 64)
    path.write_bytes(b"no tensors")
    with pytest.raises(ModelError, match=r"no space of speakers .*; estimate it again"):
        read(path, "a" * 64)
    save_file({"mean": np.zeros(3, np.float32)}, path, {"network": "a" * 64})
    with pytest.raises(ModelError, match=r"no space of speakers .*; estimate it again"):
        read(path, "a" * 64)
    save_file({"mean": np.zeros(3, np.float32), "weights": np.full((4, 2), np.nan, np.float32)}, path, {"network": "a"})
    with pytest.raises(ModelError, match=r"holds no numbers that fit together"):
        read(path, "a")


@pytest.mark.parametrize("said", [speakers(2), [*speakers(3), np.zeros((1, VALUES), np.float32)]])
def test_too_few_speakers_or_pieces_are_refused(said: list[Array]) -> None:
    with pytest.raises(ValueError, match=r"speakers: at least 3 are needed, of each two pieces of speech"):
        estimated("a" * 64, said)
