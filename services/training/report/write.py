"""A report as files: `report.html`, complete in itself, and `report.md` with its figures beside it."""

import base64
import re
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from services.emotion.manifest import Score
from services.training.intervals import Difference
from services.training.report.contents import Chapter, Report
from services.training.report.tables import Cell, Column, Table

HTML, MARKDOWN, FIGURES = "report.html", "report.md", "figures"
LEGEND = (
    "Underlined: the best of a column. Bold: what has an interval that overlaps with the best's."
    " In brackets the 95 % interval."
)


def write_report(folder: Path, report: Report) -> Path:
    """Write both files; the path of the HTML one."""
    (folder / FIGURES).mkdir(parents=True, exist_ok=True)
    for chapter in report.chapters:
        for name, drawn in chapter.figures.items():
            (folder / _file(chapter, name)).write_text(drawn, encoding="utf-8")
    about = {
        "report": report,
        "plan": report.done.plan,
        "bands": len(report.done.plan.bands),
        "legend": LEGEND,
        "place": _place,
    }
    for name in (HTML, MARKDOWN):
        text = environment(name).get_template(f"{name}.j2").render(about)
        (folder / name).write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
    return folder / HTML


def environment(name: str) -> Environment:
    """Templates and what they call figures by, for a file of this name."""
    made = Environment(
        loader=PackageLoader("services.training.report", "."),
        autoescape=name.endswith(".html"),  # names come from corpora; Markdown has no escapes that tables keep
        undefined=StrictUndefined,
        trim_blocks=False,
    )
    made.filters |= {
        "percent": _percent,
        "span": _span,
        "signed": _signed,
        "span_signed": _span_signed,
        "p_value": _p_value,
        "duration": _duration,
        "marked": _marked,
        "embedded": _embedded,
        "file": _file,
    }
    return made


def _place(column: Column, table: Table) -> str:
    """What tells a column from those of other heads, or of other data sets."""
    if len({each.head for each in table.columns}) > 1:
        return column.head
    where = column.test if column.train == column.test else f"{column.train} to {column.test}"
    return f"{where}: {column.head}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _span(score: Score) -> str:
    return f"[{_percent(score.low)}, {_percent(score.high)}]"


def _signed(value: float) -> str:
    return f"{round(100 * value, 1) + 0.0:+.1f}"  # never -0.0


def _span_signed(found: Difference) -> str:
    return f"[{_signed(found.low)}, {_signed(found.high)}]"


def _p_value(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {left:02} s" if minutes else f"{seconds:.1f} s"


def _marked(cell: Cell) -> str:
    value = _percent(cell.score.value)
    underlined = f"<u>{value}</u>" if cell.best else value
    return f"**{underlined}**" if cell.level else underlined


def _embedded(drawn: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(drawn.encode()).decode()}"


def _file(chapter: Chapter, name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", f"{chapter.title} {name}").strip("-")
    return f"{FIGURES}/{plain}.svg"
