from pathlib import Path

import pytest

from services.training.corpora.corpus import Annotation, Corpus, Cut, Segment
from services.training.corpora.proposal import as_labelled, propose
from services.training.errors import CorpusError
from streams.domain.schemes import Dimension, Harmonisation, check
from streams.usecases import scheme_named


def corpus(*said: tuple[int, str, str], dimensions: tuple[str, ...] = ("category",)) -> Corpus:
    """As many segments of each pair of labels by two annotators."""
    pairs = [(one, other) for count, one, other in said for _ in range(count)]
    segments = tuple(Segment(f"s{at}", "a.wav", at, at + 1, "c", "c") for at in range(len(pairs)))
    annotations = tuple(
        Annotation(f"s{at}", name, dict.fromkeys(dimensions, label))
        for at, pair in enumerate(pairs)
        for name, label in zip(("ann", "bob"), pair, strict=True)
    )
    return Corpus("line", Path(), segments, annotations, Cut.BY_RULE)


SUPPORT = corpus(
    (200, "calm", "calm"),
    (30, "calm", "annoyed"),
    (20, "annoyed", "annoyed"),
    (15, "angry", "annoyed"),
    (15, "angry", "angry"),
    (40, "nervous", "nervous"),
    (5, "nervous", "annoyed"),
    (10, "surprised", "calm"),
)


def test_rare_labels_are_dropped_confused_ones_merged_and_the_majority_set_against_the_rest() -> None:
    found = propose(SUPPORT)
    assert found.scheme.dimensions == {
        "category": Dimension(
            classes={"annoyed": ("annoyed", "angry"), "calm": ("calm",), "nervous": ("nervous",)},
            binary={"calm": ("calm",), "rest": ("annoyed", "nervous")},
            neutral="calm",
            dropped=("surprised",),
        )
    }
    check(found.scheme)
    assert found.why == (
        "category, segments: calm 240, annoyed 70, nervous 45, angry 30, surprised 10",
        "category: annoyed and angry merged: two annotators who chose one of them differ in 15 of 50",
    )


def test_the_majority_is_never_merged_however_often_it_is_confused() -> None:
    found = propose(corpus((100, "calm", "calm"), (100, "calm", "annoyed"), (40, "annoyed", "annoyed")))
    assert set(found.scheme.dimensions["category"].classes) == {"annoyed", "calm"}
    assert found.scheme.dimensions["category"].binary == {}


def test_what_is_printed_is_a_scheme_that_loads(tmp_path: Path) -> None:
    found = propose(SUPPORT, least=12)
    (tmp_path / "line.yaml").write_text(found.text())
    assert scheme_named(str(tmp_path / "line.yaml")) == found.scheme
    assert found.text().startswith("# category, segments: calm 240")


def test_a_dimension_that_only_repeats_the_category_is_left_out() -> None:
    found = as_labelled(corpus((2, "anger", "anger"), (3, "neutral", "neutral"), dimensions=("category", "valence")))
    assert found.dimensions == {
        "category": Dimension({"anger": ("anger",), "neutral": ("neutral",)}, {}, neutral="neutral")
    }
    assert found.harmonisation == Harmonisation(least=1)


def test_a_corpus_with_one_label_has_no_scheme() -> None:
    one = corpus((40, "calm", "calm"))
    with pytest.raises(CorpusError, match="no dimension with two labels on 30 segments"):
        propose(one)
    with pytest.raises(CorpusError, match="fewer than two labels"):
        as_labelled(one)
