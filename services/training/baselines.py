"""What a classifier must beat: always the commonest class, or any class at random; and what to expect of both."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.training.measures import confusion, macro_f1

Classes = NDArray[np.int64]

TRIALS = 50  #: of the random classifier, as in the paper


def majority(wanted: Classes, windows: int) -> Classes:
    """(windows,): the commonest class of the training windows, every time."""
    return np.full(windows, np.bincount(wanted).argmax())


def random(classes: int, windows: int, seed: int | Sequence[int], trials: int = TRIALS) -> Classes:
    """(trials, windows): a class drawn at random, each as likely as any other."""
    return np.random.default_rng(seed).integers(classes, size=(trials, windows))


def majority_f1(counts: Sequence[int]) -> float:
    """Macro-F1 of the majority classifier: 2p / ((1 + p) K), p the share of the commonest of K classes."""
    share = max(counts) / sum(counts)
    return 2 * share / ((1 + share) * len(counts))


def random_f1(counts: Sequence[int]) -> float:
    """Macro-F1 to expect of the random classifier: the mean over the classes of 2 p q / (p + q), q = 1 / K."""
    shares, chance = np.array(counts) / sum(counts), 1 / len(counts)
    return float((2 * shares * chance / (shares + chance)).mean())


def random_f1_of_trials(counts: Sequence[int], seed: int, trials: int = TRIALS) -> float:
    """Mean macro-F1 of this many trials on windows of these classes."""
    wanted = np.repeat(np.arange(len(counts)), counts)
    said = random(len(counts), len(wanted), seed, trials)
    return float(np.mean([macro_f1(confusion(wanted, each, len(counts))) for each in said]))
