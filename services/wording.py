"""How places in a call, judgements and severities are put to people."""

from streams.domain.records import Heads
from streams.domain.rules import likeliest

STYLES = {"high": "bold red", "medium": "yellow", "low": "cyan"}  #: severity -> rich style


def clock(ms: int) -> str:
    """A place in a call, minutes and seconds."""
    return f"{ms // 60_000}:{ms // 1000 % 60:02}"


def judgements(heads: Heads) -> str:
    """The likeliest class of every full head: "category anger 85%, valence negative 90%"."""
    full = {name.removesuffix(".full"): classes for name, classes in sorted(heads.items()) if name.endswith(".full")}
    return ", ".join(f"{name} {likeliest(classes)} {max(classes.values()):.0%}" for name, classes in full.items())
