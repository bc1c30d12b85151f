from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.training.corpora.planted import RATE, corpus, hum

from services.training.corpora.check import check
from services.training.corpora.corpus import Annotation, Corpus, Segment
from services.training.corpora.proposal import as_labelled
from services.training.corpora.ties import TIED, cramers_v, tie

LABELS = ("anger", "neutral", "sadness")
BALANCED = [(f"{speaker:02}", label) for speaker in range(6) for label in LABELS for _ in range(3)]


def found(made: Corpus) -> list[str]:
    return [line.replace(f"{made.recordings}/", "") for line in check(made, as_labelled(made))]


def sounding(folder: Path, *samples: np.ndarray) -> Corpus:
    """A balanced corpus, the first segments of which sound like this."""
    made = corpus(folder, BALANCED)
    every = soundfile.read(folder / "all.wav")[0]
    for at, each in enumerate(samples):
        every[1600 * at : 1600 * at + len(each)] = each
    soundfile.write(folder / "all.wav", every, RATE, subtype="FLOAT")
    return made


def test_nothing_is_found_in_a_corpus_in_which_everyone_says_everything(tmp_path: Path) -> None:
    assert found(corpus(tmp_path, BALANCED)) == []


def test_a_class_tied_to_speakers_is_named_with_them(tmp_path: Path) -> None:
    rows = [(f"{speaker:02}", "anger" if speaker < 5 else "neutral") for speaker in range(10) for _ in range(4)]
    (line,) = found(corpus(tmp_path, rows))
    assert line.startswith("category follows the speaker (Cramer's V 0.89, told from 0.5; by chance 0.002): ")
    assert "speaker 00 is anger in 4 of 4" in line
    assert line.endswith("a model would learn the voices; record the missing classes of these speakers")


def test_a_class_tied_to_a_text_is_named_with_it(tmp_path: Path) -> None:
    texts = [{"anger": "a01", "neutral": "a02", "sadness": "a03"}[label] for _, label in BALANCED]
    (line,) = found(corpus(tmp_path, BALANCED, text=texts))
    assert line.startswith("category follows the text (Cramer's V 1.00")
    assert "a01 is anger in 18 of 18" in line


def test_a_class_tied_to_conversations_is_told_apart_from_speakers(tmp_path: Path) -> None:
    calls = [f"{speaker}-{label}" for speaker, label in BALANCED]
    (line,) = found(corpus(tmp_path, BALANCED, conversation=calls))
    assert line.startswith("category follows the conversation")


def test_conversations_of_one_segment_each_are_no_tie(tmp_path: Path) -> None:
    assert found(corpus(tmp_path, BALANCED, conversation=[str(at) for at in range(len(BALANCED))])) == []


def test_a_class_with_one_speaker_and_too_few_conversations_is_named(tmp_path: Path) -> None:
    lines = found(corpus(tmp_path, [*BALANCED, ("00", "boredom"), ("00", "boredom")]))
    assert lines == [
        "category: boredom is said by speaker 00 alone; no unheard voice can be judged by it",
        "category: boredom is in 1 conversation, so 4 of 5 folds have none; annotate more, or merge it",
    ]


def test_a_session_without_a_class_is_a_fold_without_it(tmp_path: Path) -> None:
    rows = [*BALANCED, ("00", "boredom"), ("01", "boredom")]
    sessions = ["one" if int(speaker) < 3 else "two" for speaker, _ in rows]
    assert found(corpus(tmp_path, rows, session=sessions)) == [
        "category: fold two has no boredom; merge the class, or annotate some there"
    ]


def test_silent_clipped_and_copied_segments_are_named_with_file_and_time(tmp_path: Path) -> None:
    same = hum(0.2, seed=5)
    made = sounding(tmp_path, np.zeros(1600), np.sign(hum(0.2)), same, same)
    assert found(made) == [
        "all.wav, 0.000 to 0.200 s: silent; check its times and its channel, or leave it out",
        "all.wav, 0.200 to 0.400 s: 100% of it clipped; record it at a lower level, or leave it out",
        "all.wav, 0.600 to 0.800 s: the same sound as s2; keep one of them",
    ]


def test_samples_that_are_no_numbers_and_a_file_that_is_gone_are_named_once(tmp_path: Path) -> None:
    made = sounding(tmp_path, np.full(1600, np.nan))
    assert found(made) == ["all.wav: holds samples that are no numbers; convert it again, or leave it out"]
    (tmp_path / "all.wav").write_bytes(b"RIFF")
    assert found(made) == ["all.wav: corrupt, or no audio; convert it to WAV or FLAC, or leave it out"]


def test_segments_that_overlap_are_named(tmp_path: Path) -> None:
    made = corpus(tmp_path, BALANCED)
    longer = replace(made.segments[0], end_ms=250)
    assert found(replace(made, segments=(longer, *made.segments[1:]))) == [
        "all.wav, 0.200 to 0.400 s: overlaps s0; cut them apart, or two labels speak of the same sound"
    ]


def test_an_annotator_who_judged_less_than_the_others_is_named(tmp_path: Path) -> None:
    made = corpus(tmp_path, BALANCED)
    other = tuple(Annotation(each.segment, "b", each.labels) for each in made.annotations[:50])
    assert found(replace(made, annotations=made.annotations + other)) == [
        "annotator b: judged 50 of 54 annotated segments; let everyone judge the same ones"
    ]


def test_labels_that_the_scheme_does_not_know_are_findings_beside_the_others(tmp_path: Path) -> None:
    made = sounding(tmp_path, np.zeros(1600))
    scheme = as_labelled(made)
    wrong = replace(made.annotations[1], labels={"category": "anoyed"})
    lines = check(replace(made, annotations=(made.annotations[0], wrong, *made.annotations[2:])), scheme)
    assert "silent" in lines[0]
    assert "no class of category for label 'anoyed'" in lines[1]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz")), min_size=2, max_size=40))
@settings(deadline=None)  # a busy machine is no fault
def test_a_tie_has_a_strength_from_0_to_1_and_none_where_labels_are_dealt_evenly(pairs: list[tuple[str, str]]) -> None:
    even = [(unit, label) for unit in "xyz" for label in "ab" for _ in pairs]
    assert tie([label for _, label in even], [unit for unit, _ in even]) is None
    units, labels = sorted({unit for _, unit in pairs}), sorted({label for label, _ in pairs})
    table = np.array([[pairs.count((label, unit)) for label in labels] for unit in units])
    if min(table.shape) > 1:
        assert 0 <= cramers_v(table) <= 1 + 1e-9


def test_the_strength_is_cramers_v_as_bergsma_corrects_it() -> None:
    """Worked by hand: chi-square 20 over 40, less 1 / 39; each side 2 - 1 / 39."""
    assert cramers_v(np.array([[20, 0], [10, 10]])) == pytest.approx(
        np.sqrt((40 * 200**2 / (20 * 20 * 30 * 10) / 40 - 1 / 39) / (1 - 1 / 39))
    )


def test_chance_alone_ties_nothing() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        labels, units = random.choice(["a", "b", "c"], 60).tolist(), random.choice(list("stuvwxyz"), 60).tolist()
        assert tie(labels, units) is None
    assert TIED == 0.5


def test_segments_without_a_text_are_left_out_of_texts(tmp_path: Path) -> None:
    made = corpus(tmp_path, BALANCED)
    assert {each.text for each in made.segments} == {""}
    assert not any("text" in line for line in found(made))
    assert isinstance(made.segments[0], Segment)
