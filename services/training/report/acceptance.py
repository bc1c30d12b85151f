"""A bundle's acceptance report as files: one HTML page that is complete in itself, and the same tables as Markdown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import PercentFormatter

from services.emotion.manifest import Score, conversation_mark
from services.training.acceptance import Acceptance, ClassFigures, Group, RuleFigures
from services.training.intervals import RESAMPLES
from services.training.report.figures import COLOURS, GREY, STYLE, svg
from services.training.report.write import environment

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: what is drawn -> the colour of it
_SHADES = {"F1": COLOURS["wide"], "precision": COLOURS["telephone"]}
_RULE_SHADES = {"escalations": "#009E73", "were every label true": GREY}
_PARTS = {"hits": "windows that meet it, %", "calls": "calls that it escalates, %"}

Point = tuple[float, Score | None, str]  #: place on the axis of names, figure, colour


def acceptance_text(found: Acceptance, fingerprint: str) -> str:
    """The report as Markdown; `fingerprint` is of the corpus."""
    return _rendered("acceptance.md", found, fingerprint, {})


def write_acceptance(path: Path, found: Acceptance, fingerprint: str) -> tuple[Path, Path]:
    """Write the page and the Markdown under the name of `path`, whichever of the two it names; both paths."""
    page, text = both(path)
    drawn = {"rules": svg(figure_of_rules(found.groups)), "classes": svg(figure_of_classes(found.groups[0].classes))}
    page.write_text(_rendered("acceptance.html", found, fingerprint, drawn), encoding="utf-8")
    text.write_text(acceptance_text(found, fingerprint), encoding="utf-8")
    return page, text


def both(path: Path) -> tuple[Path, Path]:
    """The page's path and the Markdown's, of a name that may be either's or neither's."""
    plain = path.with_suffix("") if path.suffix in {".md", ".html"} else path
    return plain.with_name(f"{plain.name}.html"), plain.with_name(f"{plain.name}.md")


def _rendered(name: str, found: Acceptance, fingerprint: str, drawn: Mapping[str, str]) -> str:
    known = set(found.bundle.manifest.training.conversations)
    heard = {each.conversation for each in found.corpus.segments if conversation_mark(each.conversation) in known}
    about = {"found": found, "fingerprint": fingerprint, "resamples": RESAMPLES, "heard": len(heard), "figures": drawn}
    return environment(name).get_template(f"{name}.j2").render(about).rstrip() + "\n"


def figure_of_classes(classes: Sequence[ClassFigures]) -> Figure:
    """F1 and precision of every class with their intervals, a panel a head."""
    heads = list(dict.fromkeys(each.head for each in classes))
    sizes = [sum(each.head == head for each in classes) for head in heads]
    with rc_context(STYLE):
        figure = Figure(figsize=(7.2, 0.9 + 0.42 * len(heads) + 0.36 * len(classes)), layout="constrained")
        panels = figure.subplots(len(heads), 1, sharex=True, squeeze=False, height_ratios=sizes)[:, 0]
        for panel, head in zip(panels, heads, strict=True):
            own = [each for each in classes if each.head == head]
            _draw(panel, [f"{each.name} ({each.windows})" for each in own], _class_points(own))
            panel.set_title(head, loc="left")
            _in_percent(panel)
        _legend(figure, panels[0], _SHADES)
        figure.supxlabel("%, with its 95 % interval; in brackets how many windows are of the class", fontsize=9)
    return figure


def _class_points(classes: Sequence[ClassFigures]) -> list[Point]:
    return [
        (place + offset, each.figures[measure], _SHADES[name])
        for place, each in enumerate(classes)
        for name, measure, offset in (("F1", "f1", -0.14), ("precision", "precision", 0.14))
    ]


def figure_of_rules(groups: Sequence[Group]) -> Figure:
    """A row a rule: escalations in 100 calls, then precision and F1 of windows and of calls, for every group."""
    rules = [rule.rule for rule in groups[0].rules]
    names = [f"{group.name} ({group.calls} calls)" for group in groups]
    with rc_context(STYLE):
        size = (10.4, len(rules) * (1.1 + 0.46 * len(groups)) + 0.4)
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(wspace=0.06))
        panels = figure.subplots(len(rules), 3, sharey=True, squeeze=False)
        for row, at in zip(panels, range(len(rules)), strict=True):
            own = [group.rules[at] for group in groups]
            _draw(row[0], names, _alert_points(own))
            row[0].set_xlim(left=0)
            row[0].set_title(f"{rules[at]}: escalations in 100 calls", fontsize=9)
            for panel, (part, title) in zip(row[1:], _PARTS.items(), strict=True):
                _draw(panel, names, _measure_points([getattr(rule, part) for rule in own]))
                panel.set_title(title, fontsize=9)
                _in_percent(panel)
        _legend(figure, panels[0][0], _RULE_SHADES | _SHADES)
    return figure


def _alert_points(rules: Sequence[RuleFigures]) -> list[Point]:
    return [
        (place + offset, score, _RULE_SHADES[name])
        for place, rule in enumerate(rules)
        for name, score, offset in (("escalations", rule.alerts, -0.14), ("were every label true", rule.wanted, 0.14))
    ]


def _measure_points(figures: Sequence[Mapping[str, Score | None]]) -> list[Point]:
    return [
        (place + offset, each[measure], _SHADES[name])
        for place, each in enumerate(figures)
        for name, measure, offset in (("F1", "f1", -0.14), ("precision", "precision", 0.14))
    ]


def _draw(panel: "Axes", names: Sequence[str], points: Sequence[Point]) -> None:
    for place, score, colour in points:
        if score:
            panel.plot([score.low, score.high], [place, place], color=colour, linewidth=1.6, solid_capstyle="round")
            panel.plot([score.value], [place], "o", color=colour, markersize=5)
    panel.set_yticks(range(len(names)), names)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.grid(axis="x", color="#e4e6ea", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(axis="y", length=0)


def _in_percent(panel: "Axes") -> None:
    panel.set_xlim(-0.02, 1.02)
    panel.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))


def _legend(figure: Figure, panel: "Axes", shades: Mapping[str, str]) -> None:
    handles = [panel.plot([], [], "o", color=colour, label=name)[0] for name, colour in shades.items()]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))
