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
