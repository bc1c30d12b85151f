"""The raw labels that annotators choose from, by dimension."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from streams.domain.schemes import Scheme, raw_labels

Menu = Mapping[str, tuple[str, ...]]  #: dimension -> raw labels, in the order in which they are shown

#: The paper's section 2.2; valence and arousal from low to high.
PAPER: Menu = {
    "category": ("calm", "nervous", "angry", "annoyed", "surprised", "satisfied"),
    "valence": ("very negative", "negative", "neutral", "positive", "very positive"),
    "arousal": ("neutral", "slightly excited", "excited", "very excited"),
}


def menu_of(scheme: Scheme) -> dict[str, tuple[str, ...]]:
    """Every raw label that a scheme knows, those of the paper in its order and the others after them."""
    return {name: _ordered(name, raw_labels(dimension)) for name, dimension in scheme.dimensions.items()}


def _ordered(name: str, labels: tuple[str, ...]) -> tuple[str, ...]:
    order = PAPER.get(name, ())
    return tuple(sorted(labels, key=lambda label: order.index(label) if label in order else len(order)))


def unknown(labels: Mapping[str, str], menu: Menu | None) -> Iterator[str]:
    """What is wrong with labels that the menu does not have; nothing where there is no menu."""
    for name, label in labels.items():
        known = (menu or {}).get(name, (label,))
        if label not in known:
            near = [f"; did you mean {each!r}" for each in get_close_matches(label, known, n=1)]
            yield f"{name} is {label!r}{''.join(near)}; write one of {', '.join(known)}"
