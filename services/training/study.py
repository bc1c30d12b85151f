"""The subjective study: how far a listener and a reader agree on what calls are like (the paper, section 3.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import binomtest

from services.training.corpora.statistics import kappa
from services.training.corpora.tables import Row, read_table, write_table
from services.training.errors import TrainingError
from streams.domain.evolution import Evolution, Overall, Trend

COLUMNS = ("call", "overall", "evolution", "notes")

#: What is asked of each call -> the answers that there are.
QUESTIONS: Mapping[str, tuple[str, ...]] = {"overall": tuple(Overall), "evolution": tuple(Trend)}


class StudyError(TrainingError):
    """No study can be made of these recordings or forms; the message has one line for each problem found."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A share with its exact 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A call on which the two do not agree."""

    call: str
    listener: str
    reader: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the two agree on one question."""

    question: str
    matched: int
    calls: int
    share: Interval
    kappa: float  #: Cohen's; nan where both gave one and the same answer to all calls: it then says nothing
    differences: tuple[Difference, ...]


Answers = Mapping[str, str]  #: question -> answer


def compare(listener: Mapping[str, Answers], reader: Mapping[str, Answers]) -> list[Agreement]:
    """How far the two forms agree, question by question; both have the same calls, one or more."""
    return [_agreement(question, listener, reader) for question in QUESTIONS]


def _agreement(question: str, listener: Mapping[str, Answers], reader: Mapping[str, Answers]) -> Agreement:
    calls = sorted(listener)
    heard, read = ([form[call][question] for call in calls] for form in (listener, reader))
    pairs = [Difference(*answers) for answers in zip(calls, heard, read, strict=True)]
    differences = tuple(pair for pair in pairs if pair.listener != pair.reader)
    matched = len(calls) - len(differences)
    return Agreement(question, matched, len(calls), exact(matched, len(calls)), kappa(heard, read), differences)


def exact(matched: int, calls: int) -> Interval:
    """The share of a binomial count with its exact 95 % interval (Clopper and Pearson 1934)."""
    found = binomtest(matched, calls).proportion_ci(confidence_level=0.95, method="exact")
    return Interval(matched / calls, float(found.low), float(found.high))


def read_forms(listener: Path, reader: Path) -> tuple[dict[str, Answers], dict[str, Answers]]:
    """Both forms, filled in, of the same calls. Raises StudyError with every problem of both."""
    problems = list[str]()
    forms = _form(listener, problems), _form(reader, problems)
    if not problems:  # else a call that was refused would be missing too
        problems += _missing(listener, forms[0], forms[1]) + _missing(reader, forms[1], forms[0])
    if problems:
        raise StudyError("\n".join(problems))
    return forms


def write_form(path: Path, calls: Mapping[str, Answers]) -> None:
    """A form with these answers; empty ones are to be filled in."""
    write_table(path, COLUMNS, [{"call": call, **answers} for call, answers in calls.items()])


def automatic(evolution: Evolution) -> Answers:
    """The answers that the fold over a call's labels gives."""
    return {"overall": evolution.overall, "evolution": evolution.trend}


def _form(path: Path, problems: list[str]) -> dict[str, Answers]:
    rows = read_table(path, COLUMNS[:-1], COLUMNS[-1:], problems=problems)
    found = dict[str, Answers]()
    for row in rows:
        if row["call"] in found:
            problems.append(f"{row.place}: {row['call']} is there twice; remove a line")
        found[row["call"]] = {question: _answer(row, question, problems) for question in QUESTIONS}
    if not rows and not problems:
        problems.append(f"{path}: no calls in it; fill in a form that `undertone study prepare` made")
    return found


def _answer(row: Row, question: str, problems: list[str]) -> str:
    given, known = row[question].lower(), QUESTIONS[question]
    if given not in known:
        problems.append(f"{row.place}: {question} is {row[question]!r}; write one of {', '.join(known)}")
    return given


def _missing(path: Path, form: Mapping[str, Answers], other: Mapping[str, Answers]) -> list[str]:
    lacking = sorted(other.keys() - form.keys())
    return [f"{path}: lacks {call}, which the other form has; both must be of the same calls" for call in lacking]
