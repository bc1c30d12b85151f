from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from services.training import probe
from services.training.harmonise import NONE
from services.training.probe import layer_scores

SEGMENTS, VALUES = 240, 10
CONVERSATIONS = np.repeat(np.arange(24), 10)
Layer = Callable[[int], NDArray[np.float64]]


def noise(seed: int, values: int = VALUES) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(SEGMENTS, values))


def classes(seed: int, count: int = 3) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(count, size=SEGMENTS)


def telling(seed: int, said: NDArray[np.int64], by: float) -> NDArray[np.float64]:
    """Noise in which every class has a value of its own."""
    found = noise(seed)
    found[np.arange(SEGMENTS), said] += by
    return found


def scores(*layers: NDArray[np.float64], **targets: NDArray[np.int64]) -> NDArray[np.float64]:
    return layer_scores(lambda at: layers[at], len(layers), targets, CONVERSATIONS, 1)


def test_the_layer_that_tells_most_scores_best_and_noise_is_near_chance() -> None:
    said = classes(1)
    found = scores(noise(2), telling(3, said, 2), telling(4, said, 6), telling(5, said, 2), mood=said)
    assert found.argmax() == 2
    assert found[2] > 0.95
    assert found[0] < 0.45
    assert found[0] < found[[1, 3]].min()


def test_a_layer_that_knows_conversations_is_no_better_for_it() -> None:
    """Every conversation has one class: who knows the conversation again would know the class."""
    of_conversation = np.random.default_rng(6).permutation(np.arange(24) % 3)
    known = 10 * np.eye(24)[CONVERSATIONS]
    assert scores(known, mood=of_conversation[CONVERSATIONS])[0] < 0.45


def test_the_score_is_the_mean_over_heads() -> None:
    one, other = classes(7), classes(8, 2)
    layers = telling(9, one, 4), telling(10, other, 4)
    both = scores(*layers, mood=one, energy=other)
    np.testing.assert_allclose(both, (scores(*layers, mood=one) + scores(*layers, energy=other)) / 2)


def test_segments_without_a_class_are_not_judged() -> None:
    """A fifth has none and sounds like no class: were these taken for any, the others would suffer."""
    said = classes(11)
    layer = telling(12, said, 4)
    layer[::5] = noise(13)[::5]
    without = np.where(np.arange(SEGMENTS) % 5 == 0, NONE, said)
    assert scores(layer, mood=without)[0] > 0.9 > scores(layer, mood=said)[0]


def test_a_value_in_other_units_or_a_constant_one_changes_nothing() -> None:
    said = classes(13)
    layer = telling(14, said, 2)
    scaled = layer * np.geomspace(1e-3, 1e3, VALUES)
    np.testing.assert_allclose(scores(scaled, mood=said), scores(layer, mood=said))
    layer[:, -1] = 7
    assert np.isfinite(scores(layer, mood=said)).all()


def test_of_a_large_corpus_some_conversations_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    said = classes(15)
    layer = telling(16, said, 4)
    monkeypatch.setattr(probe, "PROBED", 100)
    some = layer_scores(lambda _: layer, 1, {"mood": said}, CONVERSATIONS, 1)
    assert some == layer_scores(lambda _: layer, 1, {"mood": said}, CONVERSATIONS, 1)
    assert some != layer_scores(lambda _: layer, 1, {"mood": said}, CONVERSATIONS, 2)
    assert some[0] > 0.8


def test_segments_of_one_conversation_are_held_out_one_by_one() -> None:
    said = classes(17, 2)
    layer = telling(18, said, 4)
    found = layer_scores(lambda _: layer, 1, {"mood": said}, np.zeros(len(said), np.int64), 1)
    assert found[0] > 0.9


def test_a_head_that_only_one_conversation_has_tells_nothing_of_layers_and_does_not_stop_the_others() -> None:
    said = classes(19, 2)
    layer = telling(20, said, 4)
    once = np.where(CONVERSATIONS == 0, said, NONE)
    assert 0 <= scores(layer, mood=said, energy=once)[0] < scores(layer, mood=said)[0]
