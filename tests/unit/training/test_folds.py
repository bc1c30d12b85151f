from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from unit.training.planted import CATEGORIES, corpus

from services.training.corpora.corpus import Corpus
from services.training.errors import SchemeError
from services.training.folds import Folds, Split, split, usual
from services.training.harmonise import NONE, Harmonised, harmonise
from streams.domain.schemes import EMODB

LABELS = st.lists(st.sampled_from(CATEGORIES), min_size=40, max_size=120)


def harmonised(made: Corpus) -> Harmonised:
    return harmonise(made, EMODB)


@st.composite
def calls(draw: st.DrawFn) -> tuple[list[str], list[int]]:
    """Labels, every fourth of them planted so that each class is common, and a conversation for each."""
    labels = [CATEGORIES[at % 4] if at % 2 else label for at, label in enumerate(draw(LABELS))]
    return labels, [draw(st.integers(0, 19)) for _ in labels]


def tried(labels: list[str], conversations: list[int], seed: int) -> Folds | None:
    try:
        return split(harmonised(corpus(labels, conversations)), Split.CONVERSATIONS, seed=seed)
    except SchemeError:
        return None


@given(calls(), st.integers(0, 100))
@settings(deadline=None)
def test_no_conversation_is_in_two_folds_and_every_class_is_on_both_sides_of_each(
    drawn: tuple[list[str], list[int]], seed: int
) -> None:
    labels, conversations = drawn
    folds = tried(labels, conversations, seed)
    assume(folds is not None)
    for conversation in set(conversations):
        assert len(np.unique(folds.of[np.array(conversations) == conversation])) == 1
    seen = harmonised(corpus(labels, conversations))
    for fold in range(5):
        assert sorted([*folds.train(fold), *folds.test(fold)]) == list(range(len(labels)))
        for head, wanted in seen.targets.items():
            classes = range(len(seen.scheme.heads()[head]))
            assert set(wanted[folds.test(fold)]) == set(wanted[folds.train(fold)]) == set(classes)


@given(calls(), st.integers(0, 100))
@settings(deadline=None, max_examples=30)
def test_a_seed_repeats_a_split(drawn: tuple[list[str], list[int]], seed: int) -> None:
    first, second = (tried(*drawn, seed) for _ in range(2))
    assert (first is None) == (second is None)
    if first is not None and second is not None:
        np.testing.assert_array_equal(first.of, second.of)


def test_classes_are_dealt_out_evenly() -> None:
    random = np.random.default_rng(0)
    labels = random.choice(CATEGORIES, 2000, p=[0.7, 0.15, 0.1, 0.05]).tolist()
    seen = harmonised(corpus(labels, random.integers(100, size=2000).tolist()))
    folds = split(seen, Split.CONVERSATIONS)
    wanted = seen.targets["category.full"]
    for index in range(4):
        shares = [(wanted[folds.test(fold)] == index).mean() for fold in range(5)]
        assert shares == pytest.approx([(wanted == index).mean()] * 5, abs=0.02)


def test_a_segment_of_no_class_is_dealt_out_with_its_conversation() -> None:
    labels = [*CATEGORIES * 10, ""]
    folds = split(harmonised(corpus(labels, [at // 4 for at in range(41)])), Split.CONVERSATIONS)
    assert len(folds.of) == 41


def test_each_session_of_the_corpus_is_a_fold_where_every_segment_names_one() -> None:
    labels, sessions = list(CATEGORIES) * 6, [at // 8 + 1 for at in range(24)]
    made = corpus(labels, [at // 4 for at in range(24)], sessions=sessions)
    assert usual(made.segments) is Split.SESSIONS
    folds = split(harmonised(made), usual(made.segments))
    assert folds.names == ("1", "2", "3")
    assert [folds.names[at] for at in folds.of] == [str(session) for session in sessions]


def test_a_conversation_that_lies_in_two_sessions_is_named() -> None:
    made = corpus(list(CATEGORIES) * 4, [at // 5 for at in range(16)], sessions=[at // 8 + 1 for at in range(16)])
    with pytest.raises(SchemeError, match="planted: conversation 1 lies in sessions 1, 2; correct them, or split by"):
        split(harmonised(made), Split.SESSIONS)


def test_conversations_are_dealt_out_where_the_corpus_has_no_sessions() -> None:
    assert usual(corpus(CATEGORIES, range(4)).segments) is Split.CONVERSATIONS


def test_leaving_one_speaker_out_holds_out_all_of_each_in_turn() -> None:
    speakers = [at // 4 for at in range(24)]
    made = corpus(list(CATEGORIES) * 6, range(24), speakers=speakers)
    folds = split(harmonised(made), Split.SPEAKERS)
    assert folds.names == tuple("012345")
    assert folds.of.tolist() == speakers


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 11)), min_size=1, max_size=60))
def test_nobody_who_talks_to_the_speaker_who_is_left_out_is_learnt_from_in_that_conversation(
    drawn: list[tuple[int, int]],
) -> None:
    speakers, conversations = (np.array(each) for each in zip(*drawn, strict=True))
    names, of = np.unique(speakers, return_inverse=True)
    folds = Folds(Split.SPEAKERS, tuple(map(str, names)), of, conversations)
    judged = np.concatenate([folds.test(fold) for fold in range(len(folds.names))])
    assert sorted(judged) == list(range(len(drawn)))
    aside = 0
    for fold in range(len(folds.names)):
        learnt, held = folds.train(fold), folds.test(fold)
        assert not set(conversations[learnt]) & set(conversations[held])
        assert not set(speakers[learnt]) & set(speakers[held])
        left = set(range(len(drawn))) - {*learnt, *held}
        assert all(conversations[at] in conversations[held] for at in left)
        aside += len(left)
    assert folds.set_aside == aside


def test_leaving_out_a_speaker_of_every_conversation_is_refused() -> None:
    speakers = ["agent", "ann", "agent", "bob", "agent", "eve"] * 4
    made = corpus(list(CATEGORIES) * 6, [at % 6 // 2 for at in range(24)], speakers=speakers)
    with pytest.raises(
        SchemeError, match="nothing is left to learn from without the conversations of agent, which are"
    ):
        split(harmonised(made), Split.SPEAKERS)


def test_a_class_of_one_conversation_is_named_for_both_who_speak_in_it() -> None:
    labels = [*("anger", "neutral", "happiness") * 8, "sadness", "sadness"]
    calls, speakers = [*(at // 6 for at in range(24)), 0, 0], [*(at // 3 for at in range(24)), 0, 1]
    with pytest.raises(SchemeError) as refused:
        split(harmonised(corpus(labels, calls, speakers=speakers)), Split.SPEAKERS)
    lines = str(refused.value).splitlines()
    for fold in "01":
        assert any(f"class sadness: only in the conversations of fold {fold}, so no machine" in line for line in lines)


def test_a_speaker_may_lack_a_class_when_left_out() -> None:
    made = corpus([*CATEGORIES * 3, "anger"], [*(at // 4 for at in range(12)), 9])
    assert split(harmonised(made), Split.SPEAKERS).names == ("0", "1", "2", "9")


def test_a_class_of_one_speaker_is_named() -> None:
    made = corpus([*("anger", "neutral", "happiness") * 4, "sadness"], [*(at // 3 for at in range(12)), 0])
    with pytest.raises(
        SchemeError, match=r"head category\.full, class sadness: only in the conversations of fold 0, so no"
    ):
        split(harmonised(made), Split.SPEAKERS)


def test_a_fold_without_a_class_is_named_with_every_class_that_it_lacks() -> None:
    labels = [*CATEGORIES * 2, *("anger", "neutral", "anger") * 2]
    made = corpus(labels, range(14), sessions=[1] * 4 + [2] * 4 + [3] * 6)
    with pytest.raises(SchemeError) as refused:
        split(harmonised(made), Split.SESSIONS)
    assert [line.split(";")[0] for line in str(refused.value).splitlines()] == [
        "corpus planted, head category.full, class happiness: none of its 2 segments is in fold 3",
        "corpus planted, head category.full, class sadness: none of its 2 segments is in fold 3",
        "corpus planted, head valence.full, class positive: none of its 2 segments is in fold 3",
    ]


def test_a_class_on_whose_segments_nobody_agreed_is_named() -> None:
    seen = harmonised(corpus(list(CATEGORIES) * 5, range(20)))
    unsettled = {head: np.where(wanted == 3, NONE, wanted) for head, wanted in seen.targets.items()}
    with pytest.raises(SchemeError, match=r"class sadness: no segment; drop the class"):
        split(replace(seen, targets=unsettled), Split.CONVERSATIONS)


def test_fewer_conversations_than_folds_are_refused() -> None:
    with pytest.raises(SchemeError, match="4 conversations cannot be dealt out to 5 folds"):
        split(harmonised(corpus(CATEGORIES * 3, [0, 1, 2, 3] * 3)), Split.CONVERSATIONS)


def test_labels_rarer_than_folds_are_refused() -> None:
    with pytest.raises(SchemeError, match="3 segments of its commonest labels cannot be dealt out to 5 folds"):
        split(harmonised(corpus(CATEGORIES * 3, range(12))), Split.CONVERSATIONS)


def test_sessions_that_are_not_named_are_refused() -> None:
    with pytest.raises(SchemeError, match="folds by sessions need two or more, and a session for each segment"):
        split(harmonised(corpus(CATEGORIES, range(4))), Split.SESSIONS)
