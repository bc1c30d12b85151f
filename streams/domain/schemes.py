"""Label schemes: which classes a use case tells apart, and how raw labels merge into them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dimension:
    """`classes` maps each class to the raw labels merged in it; `binary` each binary class to the classes in it.

    `binary` is empty where `classes` are two already.
    """

    classes: Mapping[str, tuple[str, ...]]
    binary: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Scheme:
    """The classes of every head of a use case."""

    name: str
    dimensions: Mapping[str, Dimension]

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


#: EmoDB's four classes. Valence and arousal are a table of the category: agreement between heads confirms nothing.
EMODB = Scheme(
    name="emodb",
    dimensions={
        "category": Dimension(
            classes={name: (name,) for name in ("anger", "happiness", "neutral", "sadness")},
            binary={"emotional": ("anger", "happiness", "sadness"), "neutral": ("neutral",)},
        ),
        "valence": Dimension(
            classes={"negative": ("anger", "sadness"), "neutral": ("neutral",), "positive": ("happiness",)},
            binary={"negative": ("negative",), "rest": ("neutral", "positive")},
        ),
        "arousal": Dimension(classes={"excited": ("anger", "happiness"), "neutral": ("neutral", "sadness")}, binary={}),
    },
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
        ),
        "valence": Dimension(
            classes={
                "negative": ("negative", "very negative"),
                "neutral": ("neutral",),
                "positive": ("positive", "very positive"),
            },
            binary={"negative": ("negative",), "rest": ("neutral", "positive")},
        ),
        "arousal": Dimension(
            classes={
                "excited": ("slightly excited", "excited", "very excited"),
                "neutral": ("neutral",),
            },
            binary={},
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
        ),
        "valence": Dimension(
            classes={
                "negative": ("negative",),
                "neutral": ("neutral", "positive", "very positive"),
                "very negative": ("very negative",),
            },
            binary={"neutral": ("neutral",), "rest": ("negative", "very negative")},
        ),
        "arousal": Dimension(
            classes={
                "excited": ("excited", "very excited"),
                "neutral": ("neutral",),
                "slightly excited": ("slightly excited",),
            },
            binary={"neutral": ("neutral",), "rest": ("excited", "slightly excited")},
        ),
    },
)

BUILT_IN = {scheme.name: scheme for scheme in (EMODB, CC_SUPPORT, CC_DEBT)}


def check(scheme: Scheme) -> None:
    """Refuse a scheme whose classes overlap or whose binary classes are no split of them (ValueError)."""
    if not scheme.dimensions:
        raise ValueError(f"scheme {scheme.name!r} has no dimensions; give one")
    for name, dimension in scheme.dimensions.items():
        place = f"scheme {scheme.name!r}, dimension {name!r}"
        if len(dimension.classes) < 2:
            raise ValueError(f"{place}: {len(dimension.classes)} class; give two or more")
        raw = [label for members in dimension.classes.values() for label in members]
        if len(set(raw)) < len(raw):
            raise ValueError(f"{place}: a raw label is in two classes; keep it in one")
        split = sorted(member for members in dimension.binary.values() for member in members)
        if dimension.binary and (len(dimension.binary) != 2 or split != sorted(dimension.classes)):
            raise ValueError(f"{place}: binary must put each of {', '.join(dimension.classes)} in one of two")
