from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.training.corpora.corpus import Annotation, Corpus, Cut, Segment
from services.training.errors import SchemeError
from services.training.harmonise import NONE, Harmonised, Reason, harmonise
from services.training.machines import targets
from streams.domain.schemes import CC_DEBT, CC_SUPPORT, EMODB, IEMOCAP, Disagreement, Harmonisation, Scheme, raw_labels

ALL = Harmonisation(least=1)
CATEGORY = Scheme("own", {"category": CC_SUPPORT.dimensions["category"]}, ALL)
RAW = raw_labels(CATEGORY.dimensions["category"])


def corpus(rows: list[tuple[str | None, ...]], verdicts: dict[int, str] | None = None) -> Corpus:
    """A segment a row; a column an annotator, None where they said nothing."""
    segments = tuple(Segment(f"s{at}", "a.wav", at, at + 1, "01", "01") for at in range(len(rows)))
    said = [
        Annotation(f"s{at}", f"annotator-{column}", {"category": label})
        for at, row in enumerate(rows)
        for column, label in enumerate(row)
        if label is not None
    ]
    settled = [Annotation(f"s{at}", "experts", {"category": label}) for at, label in (verdicts or {}).items()]
    return Corpus("planted", Path(), segments, tuple(said), Cut.BY_CORPUS, tuple(settled))


#: enough of every label that no class goes
FULL = [(label, label) for label in RAW]


def truth(*labels: str | None, verdict: str | None = None, scheme: Scheme = CATEGORY) -> str:
    """The class of a segment on which annotators said this, else why it has none."""
    found = harmonise(corpus([*FULL, labels], {len(FULL): verdict} if verdict else None), scheme)
    full = found.targets["category.full"]
    if full[-1] != NONE:
        return tuple(found.scheme.dimensions["category"].classes)[full[-1]]
    before = harmonise(corpus(FULL), scheme).dropped["category"]
    (reason,) = found.dropped["category"] - before
    return reason


def test_what_annotators_agree_on_is_true_after_merging() -> None:
    assert truth("calm", "calm") == "calm"
    assert truth("annoyed", "angry") == "annoyed"


def test_the_experts_verdict_settles_everything() -> None:
    assert truth("calm", "annoyed", verdict="nervous") == "nervous"
    assert truth("calm", "calm", verdict="angry") == "annoyed"
    assert truth("calm", "calm", verdict="surprised") == Reason.UNUSED
    assert truth(verdict="calm") == "calm"


def test_emotional_comes_before_neutral() -> None:
    assert truth("calm", "satisfied") == "satisfied"
    assert truth("angry", "calm") == "annoyed"


def test_neutral_against_emotional_may_be_dropped_instead() -> None:
    dropping = replace(CATEGORY, harmonisation=Harmonisation(1, Disagreement.DROP))
    assert truth("calm", "satisfied", scheme=dropping) == Reason.WAVERING
    assert truth("annoyed", "angry", scheme=dropping) == "annoyed"


def test_two_emotions_are_no_truth() -> None:
    assert truth("nervous", "satisfied") == Reason.EMOTIONS


def test_of_three_annotators_two_decide() -> None:
    assert truth("calm", "calm", "nervous") == "calm"
    assert truth("angry", "nervous", "annoyed") == "annoyed"
    assert truth("calm", "nervous", "annoyed") == Reason.EMOTIONS


def test_one_annotator_is_enough_and_none_is_counted() -> None:
    assert truth("nervous", None) == "nervous"
    assert truth(None, None) == Reason.UNJUDGED


def test_a_segment_that_anyone_gave_a_dropped_label_has_no_class() -> None:
    assert truth("surprised", "calm") == Reason.UNUSED


def test_a_label_on_fewer_segments_than_the_least_goes_with_its_class_before_merging() -> None:
    """29 segments are satisfied to either annotator, 29 angry; the 31 annoyed ones keep the merged class."""
    rows = [("calm", "calm")] * 100 + [("annoyed", "annoyed")] * 31 + [("nervous", "calm")] * 30
    rows += [("satisfied", "satisfied")] * 20 + [("satisfied", "calm")] * 9 + [("angry", "annoyed")] * 29
    found = harmonise(corpus(rows), replace(CATEGORY, harmonisation=Harmonisation()))
    kept = found.scheme.dimensions["category"]
    assert kept.classes == {"annoyed": ("annoyed",), "calm": ("calm",), "nervous": ("nervous",)}
    assert kept.binary == {"calm": ("calm",), "rest": ("annoyed", "nervous")}
    assert found.dropped["category"] == {Reason.RARE: 58}
    assert np.bincount(found.targets["category.full"] + 1).tolist() == [58, 31, 100, 30]
    assert harmonise(corpus(rows), found.scheme).dropped["category"] == {Reason.UNUSED: 58}


def test_where_two_classes_are_left_there_is_no_binary_head() -> None:
    rows = [("calm", "calm")] * 30 + [("annoyed", "annoyed")] * 30
    found = harmonise(corpus(rows), replace(CATEGORY, harmonisation=Harmonisation()))
    assert found.scheme.heads() == {"category.full": ("annoyed", "calm")}
    assert list(found.targets) == ["category.full"]


def test_one_class_alone_is_refused_with_the_remedy() -> None:
    rows = [("calm", "calm")] * 30 + [("annoyed", "annoyed")] * 29
    with pytest.raises(SchemeError, match="of category class calm alone is left with 30 segments or more a label"):
        harmonise(corpus(rows), replace(CATEGORY, harmonisation=Harmonisation()))


def test_labels_that_the_scheme_does_not_know_are_named_all_at_once() -> None:
    with pytest.raises(SchemeError) as refused:
        harmonise(corpus([("calm", "anoyed"), ("bored", "bored")]), CC_SUPPORT)
    lines = str(refused.value).splitlines()
    assert "no class of category for label 'anoyed' (1 segments)" in lines[0]
    assert "label 'bored'" in lines[1]
    assert "put it in a class or in `dropped`, beside annoyed, angry, calm" in lines[1]
    assert "nobody judged valence" in lines[2]
    assert "nobody judged arousal" in lines[3]


def test_no_agreement_in_iemocap_is_a_verdict_that_drops() -> None:
    rows = [("anger", "anger")] * 30 + [("excited", "happiness")] * 30 + [("neutral", "neutral")]
    found = harmonise(corpus(rows, {60: "no agreement"}), replace(IEMOCAP, harmonisation=ALL))
    assert found.targets["category.full"].tolist() == [0] * 30 + [1] * 30 + [NONE]


LABELS = st.one_of(st.none(), st.sampled_from(RAW))
ROWS = st.lists(st.lists(LABELS, min_size=2, max_size=4), max_size=30)
SCHEMES = st.builds(
    lambda least, disagreement: replace(CATEGORY, harmonisation=Harmonisation(least, disagreement)),
    st.integers(1, 3),
    st.sampled_from(Disagreement),
)
PADDED = [(label, label) for label in ("calm", "annoyed", "nervous") for _ in range(3)]


@given(ROWS, SCHEMES)
@settings(deadline=None)  # a busy machine is no fault
def test_every_segment_has_one_class_or_one_reason(rows: list[list[str | None]], scheme: Scheme) -> None:
    found = harmonise(corpus([*PADDED, *map(tuple, rows)]), scheme)
    full = found.targets["category.full"]
    assert len(full) == len(PADDED) + len(rows)
    assert int((full != NONE).sum()) + found.dropped["category"].total() == len(full)
    binary = found.targets["category.binary"]
    np.testing.assert_array_equal(full == NONE, binary == NONE)
    assert _binary_of(found) == binary.tolist()


def _binary_of(found: Harmonised) -> list[int]:
    dimension = found.scheme.dimensions["category"]
    names, sides = list(dimension.classes), list(dimension.binary.values())
    side_of = {name: next(at for at, side in enumerate(sides) if name in side) for name in names}
    return [NONE if at == NONE else side_of[names[at]] for at in found.targets["category.full"]]


@given(ROWS, SCHEMES, st.randoms(use_true_random=False))
@settings(deadline=None)  # a busy machine is no fault
def test_the_order_of_annotators_and_annotations_says_nothing(
    rows: list[list[str | None]], scheme: Scheme, random: Random
) -> None:
    first = corpus([*PADDED, *map(tuple, rows)])
    shuffled = list(first.annotations)
    random.shuffle(shuffled)
    renamed = tuple(replace(each, annotator=each.annotator[::-1]) for each in shuffled)
    found, again = harmonise(first, scheme), harmonise(replace(first, annotations=renamed), scheme)
    assert found.dropped == again.dropped
    for head, classes in found.targets.items():
        np.testing.assert_array_equal(classes, again.targets[head])


def test_a_corpus_with_one_label_a_segment_gets_what_the_demo_bundle_is_trained_on() -> None:
    labels = ["anger", "happiness", "neutral", "sadness"] * 3
    one = corpus([(label,) for label in labels])
    said = tuple(
        replace(each, labels=dict.fromkeys(EMODB.dimensions, *each.labels.values())) for each in one.annotations
    )
    found = harmonise(replace(one, annotations=said), EMODB)
    assert found.scheme.heads() == EMODB.heads()
    for head, classes in targets(EMODB, labels).items():
        np.testing.assert_array_equal(found.targets[head], classes)
    assert found.dropped == {name: Counter() for name in EMODB.dimensions}


def planted(scheme: Scheme, counts: dict[str, dict[str, int]]) -> Corpus:
    """Segments on which two annotators agree, as many of each raw label as `counts` says."""
    columns = {name: [label for label, count in of.items() for _ in range(count)] for name, of in counts.items()}
    size = max(map(len, columns.values()))
    segments = tuple(Segment(f"s{at}", "a.wav", at, at + 1, "01", "01") for at in range(size))
    said = tuple(
        Annotation(f"s{at}", annotator, {name: column[at] for name, column in columns.items() if at < len(column)})
        for at in range(size)
        for annotator in ("a", "b")
    )
    return Corpus(scheme.name, Path(), segments, said, Cut.BY_RULE)


def test_raw_labels_of_a_debt_line_become_the_merged_classes_of_table_2() -> None:
    """Its counts through a hundred; the raw labels within a class are this test's own split."""
    raw = {
        "category": {"calm": 94, "annoyed": 12, "angry": 5, "nervous": 9},
        "valence": {"neutral": 60, "positive": 29, "very positive": 1, "negative": 24, "very negative": 7},
        "arousal": {"neutral": 93, "slightly excited": 20, "excited": 4, "very excited": 3},
    }
    found = harmonise(planted(CC_DEBT, raw), replace(CC_DEBT, harmonisation=ALL))
    counts = {
        head: {name: int((found.targets[head] == at).sum()) for at, name in enumerate(classes)}
        for head, classes in found.scheme.heads().items()
    }
    assert counts == {
        "category.full": {"annoyed": 17, "calm": 94, "nervous": 9},
        "category.binary": {"calm": 94, "rest": 26},
        "valence.full": {"negative": 24, "neutral": 90, "very negative": 7},
        "valence.binary": {"neutral": 90, "rest": 31},
        "arousal.full": {"excited": 7, "neutral": 93, "slightly excited": 20},
        "arousal.binary": {"neutral": 93, "rest": 27},
    }
