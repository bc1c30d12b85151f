from collections import Counter

import numpy as np
from unit.training.planted import CATEGORIES, corpus

from services.training.examples import Examples, layer_of
from services.training.harmonise import harmonise
from streams.domain.schemes import EMODB

LABELS = list(CATEGORIES) * 30
CALLS = [at // 12 for at in range(len(LABELS))]


def examples() -> Examples:
    """Two layers of noise; the first holds the label in the last calls alone, and louder than the second does."""
    made = harmonise(corpus(LABELS, CALLS), EMODB)
    layers = np.random.default_rng(0).normal(size=(len(LABELS), 2, 8)).astype(np.float32)
    told, late = made.targets["category.full"], np.array(CALLS) >= 4
    layers[np.flatnonzero(late), 0, told[late]] += 9
    layers[np.arange(len(told)), 1, told] += 1
    return Examples(made.corpus.segments, layers, made.targets, Counter())


def test_the_layer_is_the_one_that_tells_most_among_the_windows_that_may_be_learnt_from() -> None:
    found = examples()
    assert layer_of(found, None) == 0
    assert layer_of(found, None, np.array(CALLS) < 4) == 1


def test_a_layer_that_is_asked_for_is_taken_whatever_may_be_learnt_from() -> None:
    assert layer_of(examples(), 0, np.array(CALLS) < 4) == 0
