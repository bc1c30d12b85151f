from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.emotion.manifest import Kind
from services.emotion.networks import Shape
from services.training.downstream import DEV_SHARE, Examples, Trained, decisions, partition, train
from services.training.errors import SchemeError, TrainingError
from services.training.harmonise import NONE
from services.training.learner import Learner, Recipe

CLASSES = {"mood.full": ("bad", "good", "none"), "mood.binary": ("none", "some")}
LAYERS, VALUES = 3, 6
KINDS: list[Kind] = ["sp", "attcp"]


def recipe(kind: Kind = "sp", *, epochs: int = 4, rate: float = 3e-3, patience: int = 8) -> Recipe:
    return Recipe(kind, rate=rate, batch=8, epochs=epochs, patience=patience, seed=5)


class Planted:
    """Windows of noise in whose last layer each class has a pair of channels of its own; remembers what was asked."""

    def __init__(self, said: NDArray[np.int64]) -> None:
        self.said, self.asked = said, []

    def __call__(self, rows: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        self.asked.append(rows)
        return [self.window(int(row)) for row in rows]

    def window(self, row: int) -> NDArray[np.float32]:
        random = np.random.default_rng(row)
        frames = random.normal(size=(LAYERS, int(random.integers(20, 40)), VALUES))
        frames[-1, :, 2 * self.said[row] + 1] += 2 * frames[-1, :, 2 * self.said[row]]
        frames[-1, :, 2 * self.said[row]] += 1
        return frames.astype(np.float32)


def examples(windows: int = 60, *, conversations: int = 12) -> Examples:
    said = np.arange(windows) % 3
    wanted = {"mood.full": said, "mood.binary": (said < 2).astype(np.int64)}
    return Examples(Planted(said), wanted, np.arange(windows) // (windows // conversations))


def weights(found: Trained) -> dict[str, torch.Tensor]:
    return {f"{head}/{name}": each for head, net in found.networks.items() for name, each in net.state_dict().items()}


def assert_same(one: Trained, other: Trained) -> None:
    assert one.scores == other.scores
    for name, each in weights(one).items():
        torch.testing.assert_close(each, weights(other)[name], atol=0, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_networks_learn_what_is_planted_and_tell_it_in_windows_that_they_never_saw(kind: Kind) -> None:
    found = train(recipe(kind, epochs=3), CLASSES, examples())
    unseen = Planted(np.random.default_rng(1).integers(3, size=1_000))
    rows = np.arange(900, 1_000)
    said = decisions(found.networks, unseen, rows)
    assert (said["mood.full"].argmax(axis=1) == unseen.said[rows]).mean() > 0.85
    assert (said["mood.binary"].argmax(axis=1) == (unseen.said[rows] < 2)).mean() > 0.85
    assert all(max(scores) > 0.9 for scores in found.scores.values())


class KilledError(Exception):
    """What ends a run in the middle."""


def killing(epoch: int, after: int) -> Callable[[str, int], Callable[[], None]]:
    """Progress that ends the run after some steps of an epoch."""

    def progress(what: str, _steps: int) -> Callable[[], None]:
        left = [after]

        def tick() -> None:
            left[0] -= 1
            if what.startswith(f"epoch {epoch} ") and "learn" in what and left[0] < 0:
                raise KilledError

        return tick

    return progress


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_is_killed_again_and_again_comes_to_what_a_whole_one_does(kind: Kind, tmp_path: Path) -> None:
    whole = train(recipe(kind), CLASSES, examples())
    for epoch in (1, 2, 4):
        with pytest.raises(KilledError):
            train(
                recipe(kind), CLASSES, examples(), checkpoint=tmp_path / "run" / "state", progress=killing(epoch, epoch)
            )
    resumed = examples()
    assert_same(train(recipe(kind), CLASSES, resumed, checkpoint=tmp_path / "run" / "state"), whole)
    assert isinstance(resumed.frames, Planted)
    assert len(resumed.frames.asked) < 20  # of four epochs it only had the last one to run


def test_a_run_that_is_done_answers_from_its_checkpoint(tmp_path: Path) -> None:
    first = train(recipe(), CLASSES, examples(), checkpoint=tmp_path / "state")
    again = examples()
    assert_same(train(recipe(), CLASSES, again, checkpoint=tmp_path / "state"), first)
    assert isinstance(again.frames, Planted)
    assert len(again.frames.asked) == 1  # one window, to see its shape


def test_heads_that_share_the_encoder_learn_as_they_would_alone() -> None:
    """To rounding: where a batch of one head is cut depends on what the others drew."""
    together = train(recipe(), CLASSES, examples())
    for head, names in CLASSES.items():
        alone = train(recipe(), {head: names}, examples())
        assert alone.scores[head] == together.scores[head]
        for name, each in alone.networks[head].state_dict().items():
            torch.testing.assert_close(each, together.networks[head].state_dict()[name], atol=1e-4, rtol=0)


def test_a_batch_of_frames_is_asked_for_once_an_epoch_and_serves_every_head() -> None:
    given_examples = examples()
    train(recipe(epochs=2), CLASSES, given_examples)
    assert isinstance(given_examples.frames, Planted)
    asked = given_examples.frames.asked[1:]
    assert max(map(len, asked)) <= 8
    learnt, dev = partition(recipe(), CLASSES, given_examples)
    for rows in np.split(np.concatenate(asked), 2):  # of 48 windows to learn from each head draws at least 32
        of_epoch, judged = rows[: -len(dev)], rows[-len(dev) :]
        assert set(judged) == set(dev)
        assert len(set(of_epoch)) == len(of_epoch) <= len(learnt)
        assert set(of_epoch) <= set(learnt)


def test_a_window_without_a_class_is_never_asked_for_and_one_with_some_teaches_these() -> None:
    given_examples = examples()
    nothing, only_binary = np.arange(60) % 5 == 3, np.arange(60) % 5 == 4
    wanted = {
        "mood.full": np.where(nothing | only_binary, NONE, given_examples.wanted["mood.full"]),
        "mood.binary": np.where(nothing, NONE, given_examples.wanted["mood.binary"]),
    }
    train(recipe(), CLASSES, Examples(given_examples.frames, wanted, given_examples.conversations))
    assert isinstance(given_examples.frames, Planted)
    asked = np.concatenate(given_examples.frames.asked[1:])
    assert not nothing[asked].any()
    assert only_binary[asked].any()


def test_a_head_stops_once_patience_has_run_out_and_keeps_its_best() -> None:
    given_examples = examples()
    random = np.random.default_rng(8)
    noise = {"mood.full": given_examples.wanted["mood.full"], "mood.binary": random.integers(2, size=60)}
    found = train(
        recipe(epochs=30, patience=2), CLASSES, Examples(given_examples.frames, noise, given_examples.conversations)
    )
    for scores in found.scores.values():
        assert len(scores) == int(np.argmax(scores)) + 3 < 30
    _, dev = partition(recipe(), CLASSES, Examples(given_examples.frames, noise, given_examples.conversations))
    said = decisions(found.networks, given_examples.frames, dev)["mood.full"].argmax(axis=1)
    assert (said == given_examples.wanted["mood.full"][dev]).mean() == pytest.approx(max(found.scores["mood.full"]))


@given(
    conversations=st.lists(st.integers(0, 9), min_size=10, max_size=60),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_no_conversation_is_on_both_sides_and_a_fifth_or_the_smallest_is_kept(
    conversations: list[int], seed: int
) -> None:
    ids = np.array(conversations)
    wanted = {"h": np.zeros(len(ids), np.int64)}
    parts = partition(Recipe("sp", seed=seed), {"h": ("a",)}, Examples(Planted(ids), wanted, ids))
    assert sorted(np.concatenate(parts)) == list(range(len(ids)))
    if len(set(conversations)) > 1:
        assert not set(ids[parts[0]]) & set(ids[parts[1]])
        smallest = np.unique(ids, return_counts=True)[1].min()
        assert len(parts[1]) <= DEV_SHARE * len(ids) or len(parts[1]) == smallest
    else:
        assert len(parts[1]) == int(DEV_SHARE * len(ids))


def test_a_class_that_no_split_can_teach_is_named() -> None:
    wanted = {"h": np.array([0] * 10 + [1] * 10)}
    given_examples = Examples(Planted(wanted["h"]), wanted, np.array([0] * 10 + [1] * 10))
    with pytest.raises(SchemeError, match=r"head h, class (a|b): no window to learn from; annotate more conversations"):
        train(recipe(), {"h": ("a", "b")}, given_examples)


def learner(kind: Kind = "sp") -> Learner:
    shape = Shape(kind, LAYERS, VALUES, ("bad", "good", "none"))
    return Learner("mood.full", shape, recipe(kind), torch.device("cpu"))


@given(counts=st.tuples(*[st.integers(1, 30)] * 3), epoch=st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_each_epoch_draws_as_many_of_each_class_as_the_rarest_has(counts: tuple[int, ...], epoch: int) -> None:
    wanted = np.concatenate([np.repeat([0, 1, 2], counts), [NONE] * 4])
    drawn = learner().drawn(wanted, np.arange(len(wanted)), epoch)
    assert len(set(drawn)) == len(drawn)
    assert np.bincount(wanted[drawn], minlength=3).tolist() == [min(counts)] * 3


def test_what_is_left_out_of_an_epoch_is_drawn_in_another() -> None:
    wanted = np.repeat([0, 1, 2], [5, 20, 20])
    seen = [set(learner().drawn(wanted, np.arange(45), epoch)) for epoch in range(20)]
    assert seen[0] != seen[1]
    assert set.union(*seen) == set(range(45))


@given(pieces=st.lists(st.integers(0, 20), min_size=1, max_size=6))
@settings(max_examples=15, deadline=None)
def test_windows_that_come_piece_by_piece_teach_the_same(pieces: list[int]) -> None:
    planted = Planted(np.arange(sum(pieces)) % 3)
    windows = [torch.from_numpy(each) for each in planted(np.arange(sum(pieces)))]
    whole, piecewise = learner(), learner()
    for start in range(0, sum(pieces), 8):
        whole.learn(windows[start : start + 8], planted.said[start : start + 8])
    ends = np.cumsum(pieces)
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        piecewise.learn(windows[start:end], planted.said[start:end])
    for each in (whole, piecewise):
        each.step()
    for name, tensor in whole.network.state_dict().items():
        torch.testing.assert_close(piecewise.network.state_dict()[name], tensor, atol=1e-4, rtol=0)


def test_cached_frames_may_be_halves_in_a_mapped_file_or_tensors(tmp_path: Path) -> None:
    np.save(tmp_path / "frames.npy", Planted(np.zeros(1, np.int64)).window(0).astype(np.float16))
    mapped = np.load(tmp_path / "frames.npy", mmap_mode="r")
    found = train(recipe(epochs=1), CLASSES, examples())
    as_array = decisions(found.networks, lambda _: [mapped], np.arange(1))
    as_tensor = decisions(found.networks, lambda _: [torch.tensor(np.array(mapped))], np.arange(1))
    for head, rows in as_array.items():
        np.testing.assert_array_equal(rows, as_tensor[head])


def test_the_callers_own_chance_is_left_alone() -> None:
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    train(recipe(epochs=1), CLASSES, examples())
    torch.testing.assert_close(torch.rand(3), wanted, atol=0, rtol=0)


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    train(recipe(epochs=1), CLASSES, examples(), checkpoint=path)
    with pytest.raises(TrainingError, match="state: of another run"):
        train(recipe(epochs=2), CLASSES, examples(), checkpoint=path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(TrainingError, match="state: cannot be read; delete it"):
        train(recipe(epochs=1), CLASSES, examples(), checkpoint=path)


def test_a_device_that_is_not_there_is_named() -> None:
    for name in ("cuda:99", "abacus"):
        with pytest.raises(TrainingError, match=name):
            train(recipe(), CLASSES, examples(), device=name)


def test_frames_that_are_no_numbers_end_the_run() -> None:
    given_examples = examples()

    def spoiled(rows: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        return [np.full((LAYERS, 4, VALUES), np.nan, np.float32) for _ in rows]

    with pytest.raises(TrainingError, match="the loss is no number; look for frames"):
        train(recipe(), CLASSES, Examples(spoiled, given_examples.wanted, given_examples.conversations))
