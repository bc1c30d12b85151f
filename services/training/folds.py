"""Which segments are held out together: one split for all heads, no conversation in two folds."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from services.training.corpora.corpus import Segment
from services.training.errors import SchemeError
from services.training.harmonise import NONE, Harmonised

Rows = NDArray[np.int64]

FOLDS = 5


class Split(StrEnum):
    """What is kept together."""

    CONVERSATIONS = "conversations"  #: dealt out so that every fold has its share of every class
    SESSIONS = "sessions"  #: the corpus's own folds
    SPEAKERS = "speakers"  #: leave one speaker out, and from learning all who talk to that speaker in a conversation


@dataclass(frozen=True, slots=True)
class Folds:
    """A split of a corpus's segments."""

    split: Split
    names: tuple[str, ...]
    of: Rows  #: (segments,) index of the fold in which a segment is held out
    conversations: Rows  #: (segments,) a number for each segment's conversation

    def train(self, fold: int) -> Rows:
        """Indices of the segments that the fold's machines learn from: those of conversations that it does not hold."""
        return np.flatnonzero(~np.isin(self.conversations, self.conversations[self.of == fold]))

    def test(self, fold: int) -> Rows:
        """Indices of the segments that they are judged on."""
        return np.flatnonzero(self.of == fold)

    @property
    def set_aside(self) -> int:
        """Segments that are neither learnt from nor judged in some fold: others' in the speaker's conversations."""
        together = sum(len(self.train(fold)) + len(self.test(fold)) for fold in range(len(self.names)))
        return len(self.names) * len(self.of) - together


def usual(segments: Sequence[Segment]) -> Split:
    """The corpus's own sessions where every segment names one, as in IEMOCAP; else conversations."""
    return Split.SESSIONS if all(segment.session for segment in segments) else Split.CONVERSATIONS


def split(harmonised: Harmonised, by: Split, *, folds: int = FOLDS, seed: int = 0) -> Folds:
    """The folds of a corpus. SchemeError: every class that one of them lacks, every conversation in two sessions."""
    segments = harmonised.corpus.segments
    if by is Split.CONVERSATIONS:
        made = _dealt(harmonised, folds, seed)
    else:
        names = [segment.session if by is Split.SESSIONS else segment.speaker for segment in segments]
        made = _own(harmonised, by, names)
    if problems := list(_problems(harmonised, made)):
        raise SchemeError("\n".join(problems))
    return made


def _own(harmonised: Harmonised, by: Split, names: Sequence[str]) -> Folds:
    found, of = np.unique(names, return_inverse=True)
    if len(found) < 2 or not all(names):
        what = "a session for each segment" if by is Split.SESSIONS else "a speaker for each segment"
        raise SchemeError(f"corpus {harmonised.corpus.name}: folds by {by} need two or more, and {what}")
    if by is Split.SESSIONS and (torn := list(_torn(harmonised, names))):
        raise SchemeError("\n".join(torn))
    return Folds(by, tuple(map(str, found)), of, conversation_of(harmonised.corpus.segments))


def _torn(harmonised: Harmonised, sessions: Sequence[str]) -> Iterator[str]:
    """Conversations whose segments the corpus's own folds would have on both sides."""
    of: dict[str, set[str]] = {}
    for segment, session in zip(harmonised.corpus.segments, sessions, strict=True):
        of.setdefault(segment.conversation, set()).add(session)
    for conversation, lies_in in of.items():
        if len(lies_in) > 1:
            yield (
                f"corpus {harmonised.corpus.name}: conversation {conversation} lies in sessions"
                f" {', '.join(sorted(lies_in))}; correct them, or split by {Split.CONVERSATIONS}"
            )


def _dealt(harmonised: Harmonised, folds: int, seed: int) -> Folds:
    """scikit-learn's greedy deal, by what a segment is under all full heads together: one split serves them all."""
    conversations = conversation_of(harmonised.corpus.segments)
    if (held := len(np.unique(conversations))) < folds:
        raise SchemeError(
            f"corpus {harmonised.corpus.name}: {held} conversations cannot be dealt out to {folds} folds;"
            " give fewer folds or annotate more calls"
        )
    joint = joint_labels(harmonised)
    if (most := int(np.bincount(joint).max())) < folds:
        raise SchemeError(
            f"corpus {harmonised.corpus.name}: {most} segments of its commonest labels cannot be dealt out to {folds}"
            " folds; give fewer folds or annotate more"
        )
    of = np.zeros(len(joint), np.int64)
    with warnings.catch_warnings():
        # It warns of combinations of labels rarer than folds; that a class is in every fold is checked below.
        warnings.simplefilter("ignore", UserWarning)
        dealer = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        for fold, (_, test) in enumerate(dealer.split(joint, joint, conversations)):
            of[test] = fold
    return Folds(Split.CONVERSATIONS, tuple(str(fold + 1) for fold in range(folds)), of, conversations)


def conversation_of(segments: Sequence[Segment]) -> Rows:
    """(segments,): a number for each segment's conversation."""
    return np.unique([segment.conversation for segment in segments], return_inverse=True)[1]


def joint_labels(harmonised: Harmonised) -> Rows:
    """(segments,): a number for each combination of classes under the full heads."""
    full = [classes for head, classes in harmonised.targets.items() if head.endswith(".full")]
    return np.unique(np.stack(full, axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def _problems(harmonised: Harmonised, made: Folds) -> Iterator[str]:
    name, every = harmonised.corpus.name, range(len(made.names))
    if bare := [made.names[fold] for fold in every if not len(made.train(fold))]:
        yield (
            f"corpus {name}: nothing is left to learn from without the conversations of {', '.join(bare)}, which are"
            f" all that there are; split by {Split.CONVERSATIONS}"
        )
        return
    for head, classes in harmonised.scheme.heads().items():
        learnt, held = (
            np.stack([_counts(harmonised.targets[head][side(fold)], len(classes)) for fold in every])
            for side in (made.train, made.test)
        )  # (folds, classes)
        for index, called in enumerate(classes):
            yield from _of_class(f"corpus {name}, head {head}, class {called}", made, learnt[:, index], held[:, index])


def _counts(wanted: Rows, classes: int) -> Rows:
    return np.bincount(wanted[wanted != NONE], minlength=classes)


def _of_class(place: str, made: Folds, learnt: Rows, held: Rows) -> Iterator[str]:
    """What is wrong with where a class is, by how many of its segments each fold learns from and holds."""
    if held.sum() == 0:
        yield f"{place}: no segment; drop the class from the scheme"
    elif not learnt.all():
        for fold in np.flatnonzero(learnt == 0):
            only = f"only in the conversations of fold {made.names[fold]}, so no machine could learn it there"
            yield f"{place}: {only}; {_remedy(made.split)}"
    elif made.split is not Split.SPEAKERS and not held.all():
        without = ", ".join(made.names[at] for at in np.flatnonzero(held == 0))
        yield f"{place}: none of its {held.sum()} segments is in fold {without}; {_remedy(made.split)}"


def _remedy(by: Split) -> str:
    fewer = ", take fewer folds" if by is Split.CONVERSATIONS else f", split by {Split.CONVERSATIONS}"
    return f"annotate more of it{fewer}, or merge it with another class"
