"""What experiments on unheard speakers share: both bands, kernels, recalls and the interval of a difference."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from sklearn.svm import SVC

from services.training import intervals
from services.training.audio import resampled
from services.training.corpora.folder import read_corpus
from services.training.measures import confusion, uar

Samples = NDArray[np.float32]
Rows = NDArray[np.float64]
Classes = NDArray[np.int64]

WIDE = 16000  #: Hz


@dataclass(frozen=True, slots=True)
class Speech:
    """A corpus in memory: recordings at 16 kHz, classes and speakers."""

    wide: list[Samples]
    classes: Classes
    speakers: NDArray[np.str_]

    def recall(self, said: Classes, among: NDArray[np.bool_] | None = None) -> float:
        """Unweighted average recall in %, of all or of the recordings `among`."""
        at = slice(None) if among is None else among
        return 100 * float(uar(confusion(self.classes[at], said[at], self.classes.max() + 1)))

    def everyone(self) -> list[str]:
        """The speakers, in order."""
        return [str(one) for one in np.unique(self.speakers)]


def read_speech(root: Path) -> Speech:
    """The recordings of a folder with labels.csv."""
    read = read_corpus(root)
    said = {each.segment: each.labels["category"] for each in read.annotations}
    _, classes = np.unique([said[each.id] for each in read.segments], return_inverse=True)
    wide = [_at_16_khz(read.recordings / each.recording) for each in read.segments]
    return Speech(wide, classes.astype(np.int64), np.array([each.speaker for each in read.segments]))


def _at_16_khz(path: Path) -> Samples:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return resampled(samples[:, 0], rate, WIDE)


def standardised(train: Rows, test: Rows, clip: float = np.inf) -> tuple[Rows, Rows]:
    """Both in units of the training rows' spread, within +-clip."""
    mean, spread = train.mean(axis=0), train.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1)
    first, second = (np.clip((rows - mean) / spread, -clip, clip) for rows in (train, test))
    return first, second


def squares(rows: Rows, others: Rows) -> Rows:
    """Squared distances: (rows, others)."""
    lengths = (rows**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)
    return np.maximum(lengths - 2 * rows @ others.T, 0)


def one_vs_rest(train: Rows, classes: Classes, test: Rows) -> Rows:
    """Decision values of OneVsRestClassifier(SVC(C=1, gamma=1/d, class_weight="balanced")): (test, classes).

    The kernel is computed once for all machines, and by matrix products.
    """
    kernel, seen = (np.exp(-squares(rows, train) / train.shape[1]) for rows in (train, test))
    columns = []
    for index in range(classes.max() + 1):
        machine = SVC(kernel="precomputed", C=1, class_weight="balanced").fit(kernel, classes == index)
        columns.append(machine.decision_function(seen))
    return np.stack(columns, axis=1)


def leaving_one_out(speech: Speech, vectors: Rows, say: Callable[[Rows, Classes, Rows], Classes]) -> Classes:
    """What `say(train, classes, test)` says of each speaker, trained on the others; rows are standardised on them."""
    said = np.zeros_like(speech.classes)
    for speaker in np.unique(speech.speakers):
        test = speech.speakers == speaker
        train, unheard = standardised(vectors[~test], vectors[test])
        said[test] = say(train, speech.classes[~test], unheard)
    return said


def difference(speech: Speech, said: Classes, other: Classes) -> str:
    """Recall of `said` less that of `other`, with the 95 % interval, speakers resampled."""
    drawn = _resampled(speech, said) - _resampled(speech, other)  # the same speakers in both
    return _cell(speech.recall(said) - speech.recall(other), drawn, "+.1f")


def interval(speech: Speech, said: Classes) -> str:
    """Recall with its 95 % interval, speakers resampled."""
    return _cell(speech.recall(said), _resampled(speech, said), ".1f")


def _resampled(speech: Speech, said: Classes) -> Rows:
    """Recall in each resample of the speakers."""
    unit = np.unique(speech.speakers, return_inverse=True)[1]
    each = intervals.tables(speech.classes, said, speech.classes.max() + 1, unit)
    return 100 * intervals.resampled(uar, each, intervals.draws(len(each)))


def _cell(value: float, values: Rows, form: str) -> str:
    found = intervals.interval(value, values)
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}]"
