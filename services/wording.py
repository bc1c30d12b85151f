"""How places in a call, judgements and severities are put to people."""

from streams.domain.evolution import Evolution, Third
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


def told(found: Evolution) -> str:
    """How a call evolves: "Generally emotional, trend worse: by third 0, 40, 100 % emotional, ...", and its peak."""
    emotional = ", ".join(_percent(third.emotional_ms, third) for third in found.thirds)
    negative = ", ".join(_percent(third.negative_ms, third) for third in found.thirds)
    peak, strength = found.strongest_ms, found.strength / 10
    strongest = "none" if peak is None else f"{clock(peak)}, strength {strength:.0f} %"
    return (
        f"Generally {found.overall}, trend {found.trend}: by third {emotional} % emotional,"
        f" {negative} % negative. Strongest negative window: {strongest}."
    )


def _percent(ms: int, third: Third) -> str:
    return f"{100 * ms / third.judged_ms:.0f}" if third.judged_ms else "-"
