"""Whether a bundle does on a site's own annotated calls: its classes, and what the escalation rules make of them."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from services.emotion.abstention import Band
from services.emotion.bundle import Bundle
from services.emotion.manifest import Score
from services.timeline import label_windows
from services.training.audio import heard
from services.training.corpora.corpus import SEXES, Corpus, Segment
from services.training.errors import TrainingError
from services.training.harmonise import NONE, Harmonised, harmonise
from services.training.intervals import draws, interval, resampled, tables
from services.training.measures import class_f1, class_precision, class_recall
from streams.domain import rules
from streams.domain.records import Label, Outcome, Role
from streams.domain.rules import Rule, State
from streams.domain.schemes import Scheme, class_of
from streams.domain.scoring import fits, fitted
from streams.speech.listening import Spoken
from streams.speech.resample import to_pcm
from streams.usecases import UseCase

Counts = NDArray[np.int64]
Measure = Callable[[NDArray[np.number]], NDArray[np.float64]]

_START = datetime(1970, 1, 1, tzinfo=UTC)  #: a corpus has no log: its media time serves
_MEASURES: Mapping[str, Measure] = {"precision": class_precision, "recall": class_recall, "f1": class_f1}


@dataclass(frozen=True, slots=True)
class Window:
    """An annotated window as the bundle labelled it, and as it would be labelled if the bundle were always right."""

    segment: Segment
    said: Label
    true: Label  #: abstained where annotators left a head without a class


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """Of the windows that were judged and have a true class; a figure is none where nothing is of the class."""

    head: str
    name: str
    windows: int  #: that are of the class
    said: int
    figures: Mapping[str, Score | None]  #: precision, recall, f1


@dataclass(frozen=True, slots=True)
class RuleFigures:
    """What a rule makes of the labels."""

    rule: str
    hits: Mapping[str, Score | None]  #: precision, recall, f1 of windows that meet every condition
    calls: Mapping[str, Score | None]  #: of calls that it escalates
    alerts: Score  #: escalations in 100 calls
    wanted: Score  #: had every label been true


@dataclass(frozen=True, slots=True)
class Group:
    """Some of the windows: all, or those of one channel, language or sex."""

    name: str
    calls: int
    windows: int
    unjudged: Mapping[str, int]  #: reason -> windows
    classes: tuple[ClassFigures, ...]
    rules: tuple[RuleFigures, ...]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A bundle on a corpus."""

    bundle: Bundle
    use_case: UseCase
    corpus: Corpus = field(repr=False)
    groups: tuple[Group, ...]  #: all first


def accept(bundle: Bundle, use_case: UseCase, corpus: Corpus, tick: Callable[[], None] = lambda: None) -> Acceptance:
    """Judge every window; `tick` is called once a call. TrainingError where bundle, use case and corpus do not fit."""
    if not fits(bundle.manifest.scheme.heads, use_case.scheme):
        raise TrainingError(
            f"bundle {bundle.manifest.name!r} does not tell apart what scheme {use_case.scheme.name!r} of use case"
            f" {use_case.name} does; name another bundle or use case"
        )
    every = replace(use_case.scheme, harmonisation=replace(use_case.scheme.harmonisation, least=1))
    seen = harmonise(corpus, every)  # a class that is rare here is judged all the same
    judged: list[Window] = []
    for places in _calls(corpus):
        judged += _windows(bundle, use_case, seen, places)
        tick()
    return Acceptance(bundle, use_case, corpus, tuple(figures(use_case, judged)))


def figures(use_case: UseCase, judged: Sequence[Window]) -> Iterator[Group]:
    """Of all windows, then by channel, language and sex where there are two or more."""
    yield _group(use_case, "all", judged)
    for name_of in (_channel, _language, _sex):
        names = [name_of(window.segment) for window in judged]
        found = sorted(set(names) - {""})
        for name in found if len(found) > 1 else ():
            chosen = [each for each, called in zip(judged, names, strict=True) if called == name]
            yield _group(use_case, name, chosen)


def _channel(segment: Segment) -> str:
    return f"channel {segment.channel}"


def _language(segment: Segment) -> str:
    return segment.language


def _sex(segment: Segment) -> str:
    return SEXES.get(segment.sex, "")


def _calls(corpus: Corpus) -> list[list[int]]:
    """Places of each call's segments, in the order in which they were spoken as far as it is known."""
    calls: dict[str, list[int]] = {}
    for at in sorted(range(len(corpus.segments)), key=lambda at: _order(corpus.segments[at])):
        calls.setdefault(corpus.segments[at].conversation, []).append(at)
    return list(calls.values())


def _order(segment: Segment) -> tuple[str, str, int]:
    return segment.conversation, segment.recording, segment.start_ms


def _windows(bundle: Bundle, use_case: UseCase, seen: Harmonised, places: Sequence[int]) -> Iterator[Window]:
    """The windows of one call."""
    segments = [seen.corpus.segments[at] for at in places]
    spoken = [
        _spoken(bundle, seen.corpus, segment, start_ms)
        for segment, start_ms in zip(segments, laid_out(segments), strict=True)
    ]
    said = label_windows(bundle, spoken, call=segments[0].conversation, use_case=use_case.name)
    for at, segment, label in zip(places, segments, said, strict=True):
        yield Window(segment, fitted(label, use_case.asked), _true(label, use_case.scheme, seen, at))


def laid_out(segments: Sequence[Segment]) -> list[int]:
    """When each segment of a call starts, ms: those of several recordings follow one another."""
    starts, offset, end = list[int](), 0, 0
    for before, segment in zip((None, *segments), segments, strict=False):
        if before is not None and before.recording != segment.recording:
            offset = end
        starts.append(offset + segment.start_ms)
        end = max(end, offset + segment.end_ms)
    return starts


def _spoken(bundle: Bundle, corpus: Corpus, segment: Segment, start_ms: int) -> Spoken:
    rate, end_ms = bundle.manifest.rate, start_ms + segment.duration_ms
    samples = to_pcm(heard(corpus.recordings, segment, rate, Band.WIDE))
    return Spoken(Role.CUSTOMER, start_ms, end_ms, 0, _START + timedelta(milliseconds=end_ms), rate, samples)


def _true(said: Label, scheme: Scheme, seen: Harmonised, at: int) -> Label:
    """The label that annotators would have wanted, under the heads of the use case's own scheme."""
    classes: dict[str, str] = {}
    for name, dimension in scheme.dimensions.items():
        index = seen.targets[f"{name}.full"][at]
        if index != NONE:
            full = seen.scheme.heads()[f"{name}.full"][index]
            classes[f"{name}.full"] = full
            if dimension.binary:
                classes[f"{name}.binary"] = str(class_of(full, dimension.binary))
    heads = {head: {name: float(name == classes[head]) for name in scheme.heads()[head]} for head in classes}
    outcome = Outcome.LABELLED if set(classes) == set(scheme.heads()) else Outcome.ABSTAINED
    return replace(said, classes=classes, heads=heads, reason=None, outcome=outcome)


def _group(use_case: UseCase, name: str, judged: Sequence[Window]) -> Group:
    calls: dict[str, list[Window]] = {}
    for window in judged:
        calls.setdefault(window.segment.conversation, []).append(window)
    reasons = Counter(str(each.said.reason) for each in judged if each.said.outcome is not Outcome.LABELLED)
    heads = use_case.scheme.heads().items()
    classes = [found for head, names in heads for found in _classes(head, names, list(calls.values()))]
    raised = tuple(_rule(rule, list(calls.values())) for rule in use_case.rules)
    return Group(name, len(calls), len(judged), reasons, tuple(classes), raised)


def _classes(head: str, names: Sequence[str], calls: Sequence[Sequence[Window]]) -> list[ClassFigures]:
    each = np.stack([_confusion(head, names, call) for call in calls])  # (calls, true, said)
    total = each.sum(axis=0)
    counts = zip(names, total.sum(axis=1).tolist(), total.sum(axis=0).tolist(), _measured(each), strict=True)
    return [ClassFigures(head, *counted) for counted in counts]


def _confusion(head: str, names: Sequence[str], call: Sequence[Window]) -> Counts:
    table = np.zeros((len(names), len(names)), np.int64)
    for window in call:
        if window.said.outcome is Outcome.LABELLED and head in window.true.classes:
            true, said = (rules.said(label)[head] for label in (window.true, window.said))
            table[names.index(true), names.index(said)] += 1
    return table


def _rule(rule: Rule, calls: Sequence[Sequence[Window]]) -> RuleFigures:
    hits = np.stack([_hit_table(rule, call) for call in calls])
    true = np.array([_raised(rule, [each.true for each in call]) for call in calls])
    said = np.array([_raised(rule, [each.said for each in call]) for call in calls])
    whole = tables((true > 0).astype(np.int64), (said > 0).astype(np.int64), 2, np.arange(len(calls)))
    return RuleFigures(rule.name, _measured(hits)[1], _measured(whole)[1], _per_100(said), _per_100(true))


def _hit_table(rule: Rule, call: Sequence[Window]) -> Counts:
    """(truly a hit, said to be one) counts of windows that were judged and of which the truth is known."""
    table = np.zeros((2, 2), np.int64)
    for window in call:
        if window.said.outcome is window.true.outcome is Outcome.LABELLED:
            table[int(_is_hit(rule, window.true)), int(_is_hit(rule, window.said))] += 1
    return table


def _is_hit(rule: Rule, label: Label) -> bool:
    (state, _) = rules.step(rule, State(), label)
    return state.recent[-1][1]


def _raised(rule: Rule, call: Sequence[Label]) -> int:
    """Escalations that the rule raises in one call."""
    return sum(1 for _ in rules.episodes(rule, call))


def _per_100(raised: Counts) -> Score:
    """(calls,) escalations, as a mean of 100 calls."""
    each = 100 * raised[:, None]
    values = resampled(lambda some: np.asarray(some[:, 0] / len(raised), np.float64), each, draws(len(raised)))
    return interval(float(each.mean()), values)


def _measured(each: Counts) -> list[dict[str, Score | None]]:
    """Of (calls, true, said): for each class every measure, calls drawn."""
    found: list[dict[str, Score | None]] = [{} for _ in range(each.shape[1])]
    for name, measure in _MEASURES.items():
        values, total = resampled(measure, each, draws(len(each))), measure(each.sum(axis=0))
        for at, by_name in enumerate(found):
            there = values[np.isfinite(values[:, at]), at]
            by_name[name] = interval(float(total[at]), there) if np.isfinite(total[at]) else None
    return found
