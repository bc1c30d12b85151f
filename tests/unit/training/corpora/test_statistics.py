from collections.abc import Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.training.corpora.corpus import Annotation, Corpus, Cut, Segment
from services.training.corpora.density import draw, points, segments_of
from services.training.corpora.grids import Grid, grids
from services.training.corpora.statistics import TRUTH, agreements, amounts, lengths
from services.training.errors import CorpusError
from services.training.harmonise import harmonise
from streams.domain.schemes import CC_SUPPORT, EMODB, Harmonisation

SCHEME = replace(CC_SUPPORT, harmonisation=Harmonisation(least=1))
HOUR_MS = 3_600_000
Labels = tuple[str, str, str]
CALM: Labels = ("calm", "neutral", "neutral")
ANGRY: Labels = ("angry", "very negative", "excited")
ANNOYED: Labels = ("annoyed", "negative", "slightly excited")
SATISFIED: Labels = ("satisfied", "positive", "neutral")
NERVOUS: Labels = ("nervous", "neutral", "excited")
EVERY = [(label, label) for label in (CALM, ANGRY, ANNOYED, SATISFIED, NERVOUS)]


def corpus(said: Sequence[Sequence[Labels]], *, length_ms: int = HOUR_MS // 4) -> Corpus:
    """A segment a row, a column an annotator."""
    segments = tuple(
        Segment(f"s{at}", "a.wav", length_ms * at, length_ms * (at + 1), "c", "c") for at in range(len(said))
    )
    annotations = tuple(
        Annotation(f"s{at}", f"annotator {column}", dict(zip(("category", "valence", "arousal"), labels, strict=True)))
        for at, row in enumerate(said)
        for column, labels in enumerate(row)
    )
    return Corpus("line", Path(), segments, annotations, Cut.BY_RULE)


def test_amounts_are_samples_and_hours_of_every_class_and_of_the_binary_class_it_is_in() -> None:
    found = amounts(harmonise(corpus([*EVERY, (CALM, CALM), (CALM, ANNOYED)]), SCHEME))
    category = [(each.name, each.samples, each.hours, each.binary, each.binary_hours) for each in found[:4]]
    assert category == [
        ("calm", 2, 0.5, "calm", 0.5),
        ("annoyed", 3, 0.75, "rest", 1.25),
        ("nervous", 1, 0.25, "rest", 1.25),
        ("satisfied", 1, 0.25, "rest", 1.25),
    ]
    assert [(each.name, each.binary) for each in found if each.dimension == "arousal"] == [
        ("excited", ""),
        ("neutral", ""),
    ]


def test_tables_read_as_the_papers_do() -> None:
    first, dropped, *_ = grids(harmonise(corpus([*EVERY, (CALM, CALM), (NERVOUS, ANNOYED)]), SCHEME))
    assert first.rows[:4] == (
        ("category", "calm", "2", "0.50", "calm 0.50"),
        ("", "annoyed", "2", "0.50", "rest 1.00"),
        ("", "nervous", "1", "0.25", ""),
        ("", "satisfied", "1", "0.25", ""),
    )
    assert dropped.rows[0] == ("category", "6", "two emotional labels 1")


def test_a_table_is_markdown_too() -> None:
    grid = Grid("title", ("a", "b"), (("1", "2"),))
    assert grid.markdown() == "**title**\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n"
    assert [column.header for column in grid.shown().columns] == ["a", "b"]


def test_agreement_is_told_with_kappa_and_how_common_the_commonest_label_is() -> None:
    """90 of 100 alike, nearly all calm: kappa is small however often the two agree."""
    said = [(CALM, CALM)] * 88 + [(ANGRY, ANGRY)] * 2 + [(CALM, ANGRY)] * 5 + [(ANGRY, CALM)] * 5
    found = agreements(harmonise(corpus(said), SCHEME))
    pair = next(each for each in found if each.dimension == "category")
    assert (pair.one, pair.other, pair.segments, pair.agreement) == ("annotator 0", "annotator 1", 100, 0.9)
    assert (pair.commonest, pair.prevalence) == ("calm", 0.93)
    expected = 0.93**2 + 0.07**2
    assert pair.kappa == pytest.approx((0.9 - expected) / (1 - expected))


def test_each_annotator_is_held_against_the_truth_on_merged_classes() -> None:
    found = agreements(harmonise(corpus([*EVERY, (ANNOYED, ANGRY), (CALM, ANNOYED)]), SCHEME))
    truth = [each for each in found if each.dimension == "category" and each.other == TRUTH]
    assert [(each.one, each.segments, each.agreement) for each in truth] == [
        ("annotator 0", 7, 6 / 7),
        ("annotator 1", 7, 1.0),
    ]


def test_a_lone_annotator_agrees_with_nobody() -> None:
    found = harmonise(corpus([(labels,) for labels, _ in EVERY]), SCHEME)
    assert agreements(found) == []
    assert len(grids(found)) == 3


def test_kappa_says_nothing_where_there_is_one_label() -> None:
    made = corpus([*EVERY, (CALM, CALM)])
    alike = tuple(replace(each, annotator="annotator 2") for each in made.annotations if each.segment == "s0")
    found = agreements(harmonise(replace(made, annotations=made.annotations + alike), SCHEME))
    one = next(each for each in found if each.other == "annotator 2")
    assert one.segments == 1
    assert isnan(one.kappa)


PAIRS = st.lists(st.tuples(*(st.sampled_from([CALM, ANGRY, NERVOUS]),) * 2), min_size=1, max_size=20)


@given(PAIRS)
@settings(deadline=None)  # a busy machine is no fault
def test_hours_and_samples_add_up_to_the_segments_with_a_class(rows: list[tuple[Labels, Labels]]) -> None:
    harmonised = harmonise(corpus([*EVERY, *rows]), SCHEME)
    found = amounts(harmonised)
    for name in harmonised.scheme.dimensions:
        of = [each for each in found if each.dimension == name]
        held = sum(each.samples for each in of)
        assert held + harmonised.dropped[name].total() == len(EVERY) + len(rows)
        assert sum(each.hours for each in of) == pytest.approx(held / 4)
        if harmonised.scheme.dimensions[name].binary:
            assert sum({each.binary: each.binary_hours for each in of}.values()) == pytest.approx(held / 4)


@given(PAIRS)
@settings(max_examples=20, deadline=None)  # scikit-learn takes its time
def test_agreement_does_not_depend_on_who_is_first(rows: list[tuple[Labels, Labels]]) -> None:
    one, other = (agreements(harmonise(corpus([*EVERY, *each]), SCHEME)) for each in (rows, [r[::-1] for r in rows]))
    for first, second in zip(one, other, strict=True):
        if first.other != TRUTH:
            assert replace(first, kappa=0) == replace(second, kappa=0)
            assert first.kappa == pytest.approx(second.kappa, nan_ok=True)


def test_lengths_are_told_by_mean_and_quartiles() -> None:
    found = lengths(corpus([(CALM,)] * 4, length_ms=8_000))
    assert (found.segments, found.mean, found.quartiles) == (4, 8.0, (8.0, 8.0, 8.0))
    assert found.hours == pytest.approx(32 / 3600)


def test_categories_lie_where_their_valence_and_arousal_are() -> None:
    found = points(corpus([(CALM, ANGRY), (CALM, SATISFIED)]), SCHEME)
    assert list(found) == ["calm", "angry", "satisfied"]
    assert found["calm"].tolist() == [[0, 0], [0, 0]]
    assert found["angry"].tolist() == [[-2, 2]]
    assert found["satisfied"].tolist() == [[1, 0]]
    assert segments_of(corpus([(CALM, CALM), (CALM, ANGRY)])) == {"calm": 2, "angry": 1}


def test_numbers_are_their_own_places_and_other_labels_are_placed_by_the_schemes_class() -> None:
    numbers = corpus([(("anger", "1", "4"),)])
    assert points(numbers, SCHEME)["anger"].tolist() == [[1, 4]]
    assert points(corpus([(("anger", "anger", "anger"),)]), EMODB)["anger"].tolist() == [[-1, 2]]
    with pytest.raises(CorpusError, match="on a scale; name one by --scheme"):
        points(corpus([(("anger", "anger", "anger"),)]), CC_SUPPORT)


def test_the_picture_is_drawn_also_of_a_category_with_one_judgement(tmp_path: Path) -> None:
    draw(corpus([(CALM, CALM), (ANGRY, ANNOYED), (SATISFIED, NERVOUS)]), SCHEME, tmp_path / "plane.png")
    assert (tmp_path / "plane.png").read_bytes()[:4] == b"\x89PNG"


def test_half_of_a_categorys_mass_lies_within_a_line_between_the_two() -> None:
    from services.training.corpora.density import _density, _levels  # noqa: PLC0415 - what the lines are made of

    axis = np.linspace(-3, 3, 200)
    density = _density(np.zeros((10, 2)), axis, axis)
    outer, inner = _levels(density)
    within = [density[density >= level].sum() / density.sum() for level in (outer, inner)]
    assert within == pytest.approx([0.8, 0.4], abs=0.01)
