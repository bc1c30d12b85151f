"""How places in a call, judgements and severities are put to people."""

from streams.domain.evolution import Evolution, Third
from streams.domain.records import Escalation, Label
from streams.domain.rules import said

STYLES = {"high": "bold red", "medium": "yellow", "low": "cyan"}  #: severity -> rich style


def clock(ms: int) -> str:
    """A place in a call, minutes and seconds."""
    return f"{ms // 60_000}:{ms // 1000 % 60:02}"


def judgements(record: Label | Escalation) -> str:
    """The class of every full head: "category anger 85%, valence negative 90%"."""
    full = [head for head in sorted(said(record)) if head.endswith(".full")]
    return ", ".join(f"{head.removesuffix('.full')} {judgement(record, head)}" for head in full)


def judgement(record: Label | Escalation, head: str) -> str:
    """The class of one head and, where the bundle tells, how likely it is: "anger 85%"."""
    name = said(record)[head]
    return f"{name} {record.heads[head][name]:.0%}" if record.heads.get(head) else name


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
