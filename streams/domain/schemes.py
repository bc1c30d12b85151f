"""Label schemes: which classes a use case tells apart, and how annotators' raw labels become them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Disagreement(StrEnum):
    """What is true where annotators waver between neutral and one emotional class."""

    EMOTIONAL = "emotional"  #: the emotional class: what the paper found best
    DROP = "drop"  #: nothing: the segment has no class


@dataclass(frozen=True, slots=True)
class Harmonisation:
    """How raw labels become the truth that models learn (the paper, section 2.3)."""

    least: int = 30  #: a raw label on fewer segments, all annotators together, is dropped before classes are merged
    disagreement: Disagreement = Disagreement.EMOTIONAL


#: Acted to be balanced: no class of it is an accident.
_ACTED = Harmonisation(least=1)


@dataclass(frozen=True, slots=True)
class Dimension:
    """`classes` maps each class to the raw labels merged in it; `binary` each binary class to the classes in it.

    `binary` is empty where `classes` are two already.
    """

    classes: Mapping[str, tuple[str, ...]]
    binary: Mapping[str, tuple[str, ...]]
    neutral: str = ""  #: the class that is no emotion; empty where none is, then no class has precedence
    dropped: tuple[str, ...] = ()  #: raw labels that annotators may choose and no class holds


@dataclass(frozen=True, slots=True)
class Scheme:
    """The classes of every head of a use case."""

    name: str
    dimensions: Mapping[str, Dimension]
    harmonisation: Harmonisation = Harmonisation()

    def heads(self) -> dict[str, tuple[str, ...]]:
        """Head name ("category.full", "category.binary") -> its classes, in order."""
        heads: dict[str, tuple[str, ...]] = {}
        for name, dimension in self.dimensions.items():
            heads[f"{name}.full"] = tuple(dimension.classes)
            if dimension.binary:
                heads[f"{name}.binary"] = tuple(dimension.binary)
        return heads


def class_of(raw: str, classes: Mapping[str, tuple[str, ...]]) -> str | None:
    """The class that `raw` is merged into; None where the scheme drops it."""
    return next((name for name, members in classes.items() if raw in members), None)


def raw_labels(dimension: Dimension) -> tuple[str, ...]:
    """Every raw label that annotators may choose, class by class."""
    return tuple(raw for members in dimension.classes.values() for raw in members) + dimension.dropped


#: EmoDB's four classes. Valence and arousal are a table of the category: agreement between heads confirms nothing.
EMODB = Scheme(
    name="emodb",
    dimensions={
        "category": Dimension(
            classes={name: (name,) for name in ("anger", "happiness", "neutral", "sadness")},
            binary={"emotional": ("anger", "happiness", "sadness"), "neutral": ("neutral",)},
            neutral="neutral",
        ),
        "valence": Dimension(
            classes={"negative": ("anger", "sadness"), "neutral": ("neutral",), "positive": ("happiness",)},
            binary={"negative": ("negative",), "rest": ("neutral", "positive")},
            neutral="neutral",
        ),
        "arousal": Dimension(
            classes={"excited": ("anger", "happiness"), "neutral": ("neutral", "sadness")},
            binary={},
            neutral="neutral",
        ),
    },
    harmonisation=_ACTED,
)


def _as_is(*names: str) -> dict[str, tuple[str, ...]]:
    return {name: (name,) for name in names}


#: Customers of a support line; Very Negative counts as Negative and Very Excited as Excited (not in the paper).
CC_SUPPORT = Scheme(
    name="cc-support",
    dimensions={
        "category": Dimension(
            classes={"annoyed": ("annoyed", "angry"), **_as_is("calm", "nervous", "satisfied")},
            binary={"calm": ("calm",), "rest": ("annoyed", "nervous", "satisfied")},
            neutral="calm",
            dropped=("surprised",),
        ),
        "valence": Dimension(
            classes={
                "negative": ("negative", "very negative"),
                "neutral": ("neutral",),
                "positive": ("positive", "very positive"),
            },
            binary={"negative": ("negative",), "rest": ("neutral", "positive")},
            neutral="neutral",
        ),
        "arousal": Dimension(
            classes={
                "excited": ("slightly excited", "excited", "very excited"),
                "neutral": ("neutral",),
            },
            binary={},
            neutral="neutral",
        ),
    },
)

#: Debtors on a collection line, the one scheme with Very Negative; Very Positive counts as Neutral (not in the paper).
CC_DEBT = Scheme(
    name="cc-debt",
    dimensions={
        "category": Dimension(
            classes={"annoyed": ("annoyed", "angry"), **_as_is("calm", "nervous")},
            binary={"calm": ("calm",), "rest": ("annoyed", "nervous")},
            neutral="calm",
            dropped=("satisfied", "surprised"),
        ),
        "valence": Dimension(
            classes={
                "negative": ("negative",),
                "neutral": ("neutral", "positive", "very positive"),
                "very negative": ("very negative",),
            },
            binary={"neutral": ("neutral",), "rest": ("negative", "very negative")},
            neutral="neutral",
        ),
        "arousal": Dimension(
            classes={
                "excited": ("excited", "very excited"),
                "neutral": ("neutral",),
                "slightly excited": ("slightly excited",),
            },
            binary={"neutral": ("neutral",), "rest": ("excited", "slightly excited")},
            neutral="neutral",
        ),
    },
)

#: The four classes of the literature: excited counts as happiness, and what annotators did not agree on as nothing.
IEMOCAP = Scheme(
    name="iemocap",
    dimensions={
        "category": Dimension(
            classes={**_as_is("anger"), "happiness": ("happiness", "excited"), **_as_is("neutral", "sadness")},
            binary={},
            neutral="neutral",
            dropped=("disgust", "fear", "frustration", "no agreement", "other", "surprise"),
        )
    },
)

BUILT_IN = {scheme.name: scheme for scheme in (EMODB, CC_SUPPORT, CC_DEBT, IEMOCAP)}


def normal(raw: str) -> str:
    """A raw label as schemes and corpora write it: lower case, single spaces."""
    return " ".join(raw.casefold().split())


def check(scheme: Scheme) -> None:
    """Refuse a scheme whose classes overlap or whose binary classes are no split of them (ValueError)."""
    if not scheme.dimensions:
        raise ValueError(f"scheme {scheme.name!r} has no dimensions; give one")
    if scheme.harmonisation.least < 1:
        raise ValueError(f"scheme {scheme.name!r}: least {scheme.harmonisation.least}; give 1 to keep every label")
    for name, dimension in scheme.dimensions.items():
        for fault in _faults(dimension):
            raise ValueError(f"scheme {scheme.name!r}, dimension {name!r}: {fault}")


def _faults(dimension: Dimension) -> Iterator[str]:
    classes, raw = dimension.classes, raw_labels(dimension)
    if len(classes) < 2:
        yield f"{len(classes)} class; give two or more"
    if len(set(raw)) < len(raw):
        yield "a raw label is in two classes, or in one and dropped; keep it in one"
    for label in raw:
        if label != normal(label):
            yield f"raw label {label!r}; write it {normal(label)!r}, as corpora have it"
    split = sorted(member for members in dimension.binary.values() for member in members)
    if dimension.binary and (len(dimension.binary) != 2 or split != sorted(classes)):
        yield f"binary must put each of {', '.join(classes)} in one of two"
    if dimension.neutral and dimension.neutral not in classes:
        yield f"neutral is {dimension.neutral!r}; name one of {', '.join(classes)}, or leave it out"
