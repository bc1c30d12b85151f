"""The forms of the subjective study as pages that need nothing beside them and can be printed."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from services.training.study import QUESTIONS
from services.wording import clock, judgement
from streams.domain.records import Label
from streams.domain.rules import said

#: What people are asked, and what each answer means to them.
_ASKED = {
    "overall": (
        "The customer, over the whole call",
        {"neutral": "generally neutral", "emotional": "clearly emotional"},
    ),
    "evolution": (
        "The customer's mood, from beginning to end",
        {"better": "gets better", "steady": "stays as it is, or comes back to where it was", "worse": "gets worse"},
    ),
}
_UNCLEAR = "cannot be told"
_NOTES = '<p>Notes</p><div class="notes"></div>\n'

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
section { border-top: 2px solid #888; padding: 1em 0 1.5em; break-inside: avoid }
h1, h2 { margin: 0.3em 0 }
fieldset { border: 0; padding: 0; margin: 0.8em 0 }
fieldset span { display: inline-block; margin-right: 1.6em }
.notes { height: 5em; border: 1px solid #888 }
img { width: 100% }
table { border-collapse: collapse; width: 100%; font-size: 12px; margin-top: 1em }
tr { break-inside: avoid }
th, td { border: 1px solid #bbb; padding: 0.15em 0.5em; text-align: left }
@media print { audio { display: none } body { margin: 0 } section.shown { break-before: page; border: 0 } }
"""


@dataclass(frozen=True, slots=True)
class Call:
    """A call under its pseudonym, as the forms show it."""

    name: str
    duration_ms: int
    labels: tuple[Label, ...]
    picture: bytes  #: PNG of what each head says over time


def listener_form(calls: Sequence[Call], audio: Sequence[str], customer: str) -> str:
    """The page of the person who hears the calls and nothing else; `audio` is each call's file beside the page."""
    told = (
        "Listen to each call to its end, in this order, and tell what you heard of the <b>customer</b>"
        f" ({escape(customer)}); the agent is not judged. You are shown nothing of what the models say."
    )
    sections = [
        f"<section>{_head(call)}{_sound(file)}{_ASKING}</section>\n" for call, file in zip(calls, audio, strict=True)
    ]
    return _page("Listener's form", told, sections)


def reader_form(calls: Sequence[Call], heads: Sequence[str]) -> str:
    """The page of the person who sees what the models say of the customer's windows, and hears nothing."""
    told = (
        "You are shown what the models say of each stretch of the <b>customer's</b> speech, and not the audio. Tell"
        " from that alone what the call was like. <i>Full</i> models tell apart all classes, <i>binary</i> ones two; a"
        " hatched stretch was not judged."
    )
    sections = [
        f'<section class="shown">{_head(call)}{_picture(call)}{_ASKING}{_table(call, heads)}</section>\n'
        for call in calls
    ]
    return _page("Reader's form", told, sections)


def _page(title: str, told: str, sections: Iterable[str]) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        f"<style>{_STYLE}</style></head>\n<body><h1>{title}</h1>\n<p>{told}</p>\n"
        "<p>Write your answers into <code>form.csv</code> beside this page, with the words in bold. Notes are for"
        " yourself: no names, no numbers, nothing that was said.</p>\n"
        f"{''.join(sections)}</body></html>\n"
    )


def _head(call: Call) -> str:
    return f"<h2>{escape(call.name)}</h2><p>{clock(call.duration_ms)} min</p>\n"


def _sound(file: str) -> str:
    return f'<p><audio controls preload="none" src="{escape(file)}"></audio> {escape(file)}</p>\n'


def _picture(call: Call) -> str:
    return f'<img alt="{escape(call.name)}" src="data:image/png;base64,{b64encode(call.picture).decode()}">\n'


def _table(call: Call, heads: Sequence[str]) -> str:
    header = "".join(f"<th>{escape(name)}</th>" for name in ("from", "to", *heads))
    rows = "".join(f"<tr>{_cells(label, heads)}</tr>\n" for label in call.labels)
    return f"<table><tr>{header}</tr>\n{rows}</table>"


def _cells(label: Label, heads: Sequence[str]) -> str:
    times = f"<td>{clock(label.start_ms)}</td><td>{clock(label.end_ms)}</td>"
    if not said(label):
        return f'{times}<td colspan="{len(heads)}">not judged: {escape(str(label.reason))}</td>'
    return times + "".join(f"<td>{escape(judgement(label, head))}</td>" for head in heads)


def _question(question: str, answers: Sequence[str]) -> str:
    asked, meanings = _ASKED[question]
    boxes = (f"<span>&#9744; <b>{answer}</b>: {meanings.get(answer, _UNCLEAR)}</span>" for answer in answers)
    return f"<fieldset><legend>{asked} (<code>{question}</code>)</legend>{''.join(boxes)}</fieldset>\n"


#: The questions about a call, with boxes to tick and room for notes.
_ASKING = "".join(_question(question, answers) for question, answers in QUESTIONS.items()) + _NOTES
