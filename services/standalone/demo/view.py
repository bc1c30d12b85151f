"""The board for a terminal: a line a call, escalations below; or plain lines where nobody watches."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from services.standalone.demo.board import Board, Row, place_ms, speaker, timeline
from services.wording import STYLES, clock, judgements
from streams.domain.records import Escalation, Label, Outcome
from streams.domain.rules import Rule, said

BARS = "▁▂▃▄▅▆▇█"
_MID, _HIGH = 0.35, 0.65  #: from which probability a bar is yellow, red
_NAME = 12
_OTHER = 61  #: columns that everything but the bars needs
_LEAST_BARS, _MOST_BARS = 8, 24
_LEGEND = "Bars: one a window, as high as the class above them is likely. Speaks: the louder channel."

Watched = Mapping[str, frozenset[str]]  #: dimension -> classes that the rules look for


def watched(rules: Sequence[Rule]) -> Watched:
    """Of valence and arousal, the classes that a rule looks for: a bar shows how likely they are together."""
    named: dict[str, set[str]] = {"valence": set(), "arousal": set()}
    for condition in (condition for rule in rules for condition in rule.when):
        dimension = condition.head.removesuffix(".full")
        if dimension in named:
            named[dimension] |= {*condition.any_of, *condition.at_least}
    return {dimension: frozenset(classes) for dimension, classes in named.items()}


def picture(board: Board, looked_for: Watched, *, live: bool, width: int) -> RenderableType:
    """The whole view, for a terminal of `width` columns."""
    bars = max(_LEAST_BARS, min(_MOST_BARS, (width - _OTHER) // 2))
    table = Table(
        Column("call", max_width=_NAME, no_wrap=True),
        Column("heard", no_wrap=True),
        Column("speaks", min_width=8, no_wrap=True),
        *(Column(_title(name, looked_for), min_width=bars + 9, no_wrap=True) for name in ("valence", "arousal")),
        Column("labels", justify="right", no_wrap=True),
        box=None,
        padding=(0, 1, 0, 0),
        header_style="bold",
    )
    for row in board.values():
        table.add_row(*_cells(row, looked_for, live=live, bars=bars))
    return Group(table, Text(_LEGEND, style="dim"), Text(), *raised(board))


def raised(board: Board) -> Iterator[Text]:
    """A line an escalation, or that there is none."""
    found = [(row.name, escalation) for row in board.values() for escalation in row.escalations.values()]
    if not found:
        yield Text("no escalation so far", style="dim")
    for name, escalation in sorted(found, key=lambda pair: pair[1].raised_at):
        yield escalation_line(name, escalation)


def escalation_line(name: str, escalation: Escalation) -> Text:
    """One escalation: how urgent, where, why."""
    place = f"{clock(escalation.from_ms)}-{clock(escalation.to_ms)}"
    return Text.assemble(
        (f"ESCALATION {escalation.severity.upper()}", STYLES.get(escalation.severity, "bold")),
        f"  {name} {place}  {escalation.rule}: {judgements(escalation)}",
    )


def label_line(name: str, label: Label) -> str:
    """One label row, for a log."""
    if label.outcome is Outcome.LABELLED:
        told = judgements(label) + (f" ({label.reason})" if label.reason else "")
    else:
        told = f"{label.outcome}: {label.reason}"
    return f"{name} {clock(label.start_ms)}-{clock(label.end_ms)}  {told}"


def bars_of(labels: Sequence[Label], dimension: str, classes: frozenset[str]) -> Text:
    """A bar a window: the higher, the likelier are the classes that the rules look for. `·`: no judgement."""
    text = Text()
    for label in labels:
        name = said(label).get(head := f"{dimension}.full")
        if name is None:
            text.append("·", style="dim")
            continue
        probabilities = label.heads.get(head, {name: 1.0})  # a head without probabilities says its class alone
        likely = sum(probabilities.get(name, 0.0) for name in classes or {name})
        style = "red" if likely >= _HIGH else "yellow" if likely >= _MID else "green"
        text.append(BARS[min(len(BARS) - 1, int(likely * len(BARS)))], style=style)
    return text


def _cells(row: Row, looked_for: Watched, *, live: bool, bars: int) -> tuple[RenderableType, ...]:
    at_ms, labels = place_ms(row, live=live), timeline(row)
    return (
        Text(row.name, overflow="ellipsis", style="bold red" if row.escalations else ""),
        f"{clock(at_ms)}/{clock(row.duration_ms)}",
        Text("over", style="dim") if row.over else Text(speaker(row, at_ms) or "-"),
        *(_course(labels[-bars:], name, looked_for[name], bars) for name in ("valence", "arousal")),
        f"{row.rows}/{len(row.windows)}",
    )


def _course(labels: Sequence[Label], dimension: str, classes: frozenset[str], width: int) -> Text:
    """How a dimension went, and the class it is at now."""
    course = bars_of(labels, dimension, classes)
    judged = [name for label in labels if (name := said(label).get(f"{dimension}.full"))]
    course.append(" " * (width - len(labels)))
    return course.append(f" {judged[-1]}" if judged else "")


def _title(dimension: str, looked_for: Watched) -> str:
    classes = looked_for[dimension]
    return f"{dimension}: {'/'.join(sorted(classes))}" if classes else dimension
