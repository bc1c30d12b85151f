"""What is wrong with a corpus, or will mislead whoever trains on it: a line each."""

from collections import Counter
from collections.abc import Callable, Iterator

from services.training.corpora.corpus import Corpus, Segment
from services.training.corpora.recordings import overlaps
from services.training.corpora.sound import hear, place
from services.training.corpora.ties import TIED, Tie, tie
from services.training.errors import SchemeError
from services.training.harmonise import NONE, Harmonised, harmonise
from streams.domain.schemes import Scheme

FOLDS = 5  #: of the paper, for a corpus without sessions of its own

_UNITS: dict[str, Callable[[Segment], str]] = {
    "speaker": lambda segment: segment.speaker,
    "conversation": lambda segment: segment.conversation,
    "text": lambda segment: segment.text,
}
_REMEDY = {
    "speaker": "a model would learn the voices; record the missing classes of these speakers",
    "conversation": "a model would learn the calls; annotate other calls that have these classes",
    "text": "a model would learn the words; have the same texts said in every class",
}

Classes = list[str | None]  #: of each segment


def check(corpus: Corpus, scheme: Scheme, tick: Callable[[], None] = lambda: None) -> list[str]:
    """Every finding; `tick` is called once a segment."""
    heard = hear(corpus, tick)
    findings = [*heard.unreadable, *heard.unsound, *heard.copies, *_segmentation(corpus)]
    try:
        harmonised = harmonise(corpus, scheme)
    except SchemeError as error:
        return findings + str(error).splitlines()
    for name in harmonised.scheme.dimensions:
        classes = _classes(harmonised, name)
        findings += _thin(harmonised, name, classes)
        findings += _tied(corpus, name, classes)
    return findings


def _classes(harmonised: Harmonised, name: str) -> Classes:
    names = tuple(harmonised.scheme.dimensions[name].classes)
    return [None if at == NONE else names[at] for at in harmonised.targets[f"{name}.full"]]


def _segmentation(corpus: Corpus) -> Iterator[str]:
    for before, after in overlaps(corpus.segments):
        yield f"{place(corpus, after)}: overlaps {before.id}; cut them apart, or two labels speak of the same sound"
    judged = Counter(each.annotator for each in corpus.annotations)
    every = len({each.segment for each in corpus.annotations})
    for name, count in sorted(judged.items()):
        if count < every:
            yield f"annotator {name}: judged {count} of {every} annotated segments; let everyone judge the same ones"


def _thin(harmonised: Harmonised, name: str, classes: Classes) -> Iterator[str]:
    """Classes with one speaker, and folds without a class."""
    corpus = harmonised.corpus
    for wanted in harmonised.scheme.dimensions[name].classes:
        held = [segment for segment, found in zip(corpus.segments, classes, strict=True) if found == wanted]
        speakers = {segment.speaker for segment in held}
        if not held:
            yield f"{name}: no segment is {wanted}; annotate some, or take the class out of the scheme"
        elif len(speakers) == 1:
            yield f"{name}: {wanted} is said by speaker {speakers.pop()} alone; no unheard voice can be judged by it"
        if held:
            yield from _folds(corpus, name, wanted, held)


def _folds(corpus: Corpus, name: str, wanted: str, held: list[Segment]) -> Iterator[str]:
    sessions = sorted({segment.session for segment in corpus.segments})
    if sessions != [""]:
        for session in sessions:
            if all(segment.session != session for segment in held):
                yield f"{name}: fold {session} has no {wanted}; merge the class, or annotate some there"
        return
    calls = len({segment.conversation for segment in held})
    if calls < FOLDS:
        held_by = f"{calls} conversation{'s' * (calls > 1)}, so {FOLDS - calls} of {FOLDS} folds have none"
        yield f"{name}: {wanted} is in {held_by}; annotate more, or merge it"


def _tied(corpus: Corpus, name: str, classes: Classes) -> Iterator[str]:
    seen = list[list[int]]()
    for kind, unit_of in _UNITS.items():
        pairs = [
            (found, unit_of(segment))
            for segment, found in zip(corpus.segments, classes, strict=True)
            if found is not None and unit_of(segment)
        ]
        units = [unit for _, unit in pairs]
        found = tie([each for each, _ in pairs], units) if _groups(units) not in seen else None
        seen.append(_groups(units))
        if found:
            yield _line(name, kind, found)


def _groups(units: list[str]) -> list[int]:
    """Which segments go together, whatever the units are called."""
    numbers = {unit: at for at, unit in enumerate(dict.fromkeys(units))}
    return [numbers[unit] for unit in units]


def _line(name: str, kind: str, found: Tie) -> str:
    units = ", ".join(f"{unit} is {label} in {count} of {every}" for unit, label, count, every in found.units)
    strength = f"Cramer's V {found.strength:.2f}, told from {TIED}; by chance {found.chance:.3f}"
    return f"{name} follows the {kind} ({strength}): {kind} {units}; {_REMEDY[kind]}"
