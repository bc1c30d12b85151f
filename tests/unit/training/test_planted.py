"""Corpora of which it is known what can be heard in them, through a whole experiment."""

from pathlib import Path

import numpy as np
import pytest
from unit.training.planted import CATEGORIES, corpus, plan, seen_as, sounds, sources

from services.training.baselines import random_f1
from services.training.corpora.corpus import Corpus
from services.training.experiment import Done, run
from services.training.intervals import Unit, difference, draws, interval, resampled, tables, units
from services.training.measures import macro_f1, uar
from services.training.results import pooled

WINDOWS, CONVERSATIONS = 320, 32
SVM_WIDE = {"heads": ["random", "svm"], "bands": ["wide"]}


def spoken(shares: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)) -> Corpus:
    random = np.random.default_rng(7)
    return corpus(random.choice(CATEGORIES, WINDOWS, p=shares).tolist(), [at % CONVERSATIONS for at in range(WINDOWS)])


def confusions(done: Done, kind: str, head: str) -> np.ndarray:
    """(conversations, trials, true, said) of one kind of head."""
    data = done.data["planted"]
    ((_, parts),) = [(system, parts) for system, parts in done.held.items() if system.kind == kind]
    rows, decisions = pooled([held for _, held in parts], head)
    size, drawn = decisions.shape[2], units(data.harmonised.corpus.segments, Unit.CONVERSATION)[rows]
    wanted = data.harmonised.targets[head][rows]
    return np.stack([tables(wanted, trial.argmax(axis=1), size, drawn) for trial in decisions], axis=1)


HEADS = ("category.full", "category.binary", "valence.full", "valence.binary", "arousal.full")


def test_a_feature_that_holds_the_label_gives_1_under_every_head(tmp_path: Path) -> None:
    made = spoken()
    done = run(plan("planted", **SVM_WIDE), sources((made, sounds(made, seen_as(made), clear=30.0))), tmp_path)
    for head in HEADS:
        each = confusions(done, "svm", head)
        assert float(macro_f1(each.sum(axis=0))[0]) == 1
        assert set(resampled(macro_f1, each, draws(CONVERSATIONS, resamples=200)).ravel()) == {1}


def test_labels_independent_of_the_audio_give_chance_within_the_interval(tmp_path: Path) -> None:
    made = spoken()
    told = np.random.default_rng(8).integers(4, size=WINDOWS)  # something is to be heard, but not the label
    done = run(plan("planted", **SVM_WIDE), sources((made, sounds(made, told.tolist(), clear=30.0))), tmp_path)
    for head in HEADS:
        each = confusions(done, "svm", head)
        total = each.sum(axis=0)
        found = interval(float(uar(total)[0]), resampled(uar, each, draws(CONVERSATIONS))[:, 0])
        assert found.low < 1 / total.shape[-1] < found.high
        f1 = interval(float(macro_f1(total)[0]), resampled(macro_f1, each, draws(CONVERSATIONS))[:, 0])
        assert f1.low < chance_f1(total[0]) < f1.high


def chance_f1(table: np.ndarray) -> float:
    """Macro-F1 to expect where what is said, as often as it was said, has nothing to do with what is true."""
    true, said = table.sum(axis=1) / table.sum(), table.sum(axis=0) / table.sum()
    return float((2 * true * said / (true + said)).mean())


def test_where_there_is_nothing_to_hear_machines_are_no_better_than_the_random_baseline(tmp_path: Path) -> None:
    made = spoken()
    done = run(plan("planted", **SVM_WIDE), sources((made, sounds(made, [0] * WINDOWS, clear=0.0))), tmp_path)
    for head in HEADS:
        of_svm, of_random = (confusions(done, kind, head) for kind in ("svm", "random"))
        values = [resampled(macro_f1, each, draws(CONVERSATIONS)).mean(axis=1) for each in (of_svm, of_random)]
        gap = float(macro_f1(of_svm.sum(axis=0)).mean() - macro_f1(of_random.sum(axis=0)).mean())
        assert difference(gap, values[0] - values[1]).low < 0


def test_the_random_baseline_is_its_closed_form(tmp_path: Path) -> None:
    made = spoken()
    done = run(plan("planted", heads=["random"]), sources((made, sounds(made, [0] * WINDOWS, clear=0.0))), tmp_path)
    for head in HEADS:
        total = confusions(done, "random", head).sum(axis=0)
        counts = total[0].sum(axis=1).tolist()
        assert total.shape[0] == 50
        assert float(macro_f1(total).mean()) == pytest.approx(random_f1(counts), abs=0.01)


def test_who_was_heard_in_training_is_of_no_use(tmp_path: Path) -> None:
    """Every caller says each label in a code of their own: machines that had heard the caller would be right."""
    made, random = spoken((0.25, 0.25, 0.25, 0.25)), np.random.default_rng(9)
    codes = [random.permutation(4) for _ in range(CONVERSATIONS)]
    told = [int(codes[at % CONVERSATIONS][label]) for at, label in enumerate(seen_as(made))]
    voices = random.normal(size=(CONVERSATIONS, 4)) * 20
    heard = sounds(made, told, clear=30.0)
    for at, window in enumerate(heard.values()):
        window[4:] += voices[at % CONVERSATIONS]
    done = run(plan("planted", **SVM_WIDE), sources((made, heard)), tmp_path)
    each = confusions(done, "svm", "category.full")
    found = interval(float(uar(each.sum(axis=0))[0]), resampled(uar, each, draws(CONVERSATIONS))[:, 0])
    assert found.high < 0.4
