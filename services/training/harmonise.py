"""From what annotators said to one class a segment and head, by a scheme."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.training.corpora.corpus import Corpus
from streams.domain.schemes import Scheme

Classes = NDArray[np.int64]

NONE = -1  #: the segment has no class under the head


@dataclass(frozen=True, slots=True)
class Harmonised:
    """A corpus as a scheme sees it. `scheme` is without the classes that were too rare."""

    corpus: Corpus
    scheme: Scheme
    targets: Mapping[str, Classes] = field(repr=False)  #: head -> (segments,) index of the class, or NONE
    dropped: Mapping[str, Counter[str]] = field(repr=False)  #: dimension -> reason -> segments without a class
