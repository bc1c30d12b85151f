"""When a human should look at a call: rules as data, folded over the customer's labelled windows.

A window is a *hit* when every condition of a rule holds for it. The rule *holds* at a hit by which at least
`hits` of the last `of` labelled windows are hits, so an escalation always points at a window that was heard as
such. Windows without a judgement (abstained, failed) are passed over: they are no hit, and they take no place
among the last `of` either, or a crackling line would silence the rule. A window that is judged and marked as out of
domain counts: the use case asked for that.

An *episode* opens at the window where the rule holds and none is open, and closes once `cool_down_ms` of media
time have passed since the end of the last window at which it held: one escalation each. What was raised
stands: a window with a stored escalation belongs to an episode whatever the rows say by now, and an episode
with a stored escalation raises no other. So late rows and replays never raise twice for one episode.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from streams.domain.privacy import escalation_id
from streams.domain.records import Classes, Consent, Escalation, Label, Outcome

#: An escalation raised longer than this after the speech is `late`.
LATE = timedelta(seconds=60)


class Severity(StrEnum):
    """How soon a human should look."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Condition:
    """What one head must say: every part that is given must hold. A window without the head is no hit."""

    head: str
    any_of: tuple[str, ...] = ()  #: the class said is one of these
    none_of: tuple[str, ...] = ()  #: the class said is none of these
    at_least: Mapping[str, float] = field(default_factory=dict)  #: class -> lowest probability
    at_most: Mapping[str, float] = field(default_factory=dict)  #: class -> highest probability


@dataclass(frozen=True, slots=True)
class Rule:
    """At least `hits` of the last `of` customer windows meet every condition in `when`."""

    name: str
    severity: Severity
    when: tuple[Condition, ...]
    hits: int
    of: int
    cool_down_ms: int


@dataclass(frozen=True, slots=True)
class Episode:
    """A stretch of a call over which a rule held, gaps below the cool-down included."""

    hits: tuple[Label, ...]  #: among the last `of` windows when it opened; it opened at the last of them
    held_ms: int  #: end of the last window at which the rule held
    raised: bool  #: a window of it already has an escalation


@dataclass(frozen=True, slots=True)
class State:
    """The last `of` labelled windows, each with whether it was a hit, and the open episode."""

    recent: tuple[tuple[Label, bool], ...] = ()
    episode: Episode | None = None


class RuleError(ValueError):
    """A rule cannot be used. The message names the place and the remedy."""


def said(record: Label | Escalation) -> Classes:
    """The class of each head. No probability is over that of the class said, so rules on either agree."""
    return record.classes or {head: likeliest(shares) for head, shares in record.heads.items() if shares}


def shares(record: Label | Escalation, head: str) -> Mapping[str, float]:
    """How likely each class of the head is; the class said alone where the bundle is not calibrated for it."""
    return record.heads.get(head) or {said(record)[head]: 1.0}


def bounded(rules: Iterable[Rule]) -> frozenset[str]:
    """The heads of which these rules ask how likely a class is: a bundle must tell."""
    conditions = [condition for rule in rules for condition in rule.when]
    return frozenset(condition.head for condition in conditions if condition.at_least or condition.at_most)


def likeliest(probabilities: Mapping[str, float]) -> str:
    """The class with the highest probability; the first by name where two are level, as stores lose the order."""
    return max(sorted(probabilities), key=probabilities.__getitem__)


def is_hit(rule: Rule, label: Label) -> bool:
    """Whether the window meets every condition of the rule."""
    classes = said(label)
    return all(
        _meets(condition, classes.get(condition.head), label.heads.get(condition.head, {})) for condition in rule.when
    )


def _meets(condition: Condition, name: str | None, probabilities: Mapping[str, float]) -> bool:
    if name is None:
        return False
    return (
        (not condition.any_of or name in condition.any_of)
        and name not in condition.none_of
        and all(probabilities.get(name, -1.0) >= p for name, p in condition.at_least.items())
        and all(probabilities.get(name, 2.0) <= p for name, p in condition.at_most.items())
    )


def step(rule: Rule, state: State, label: Label, *, raised: bool = False) -> tuple[State, Episode | None]:
    """Take in the call's next window by `start_ms`; the second result is an episode that closed before it.

    `raised` says that an escalation of this rule is stored for this very window.
    """
    if label.outcome is not Outcome.LABELLED:
        return state, None
    hit = is_hit(rule, label)
    recent = (*state.recent, (label, hit))[-rule.of :]
    hits = tuple(window for window, was_hit in recent if was_hit)
    episode = state.episode
    closed = episode is not None and label.start_ms - episode.held_ms >= rule.cool_down_ms
    ongoing = None if closed else episode
    if raised or (hit and len(hits) >= rule.hits):
        ongoing = _held(ongoing, hits, label.end_ms, raised=raised)
    return State(recent, ongoing), episode if closed else None


def _held(episode: Episode | None, hits: tuple[Label, ...], end_ms: int, *, raised: bool) -> Episode:
    if episode is None:
        return Episode(hits, end_ms, raised)
    return replace(episode, held_ms=max(episode.held_ms, end_ms), raised=episode.raised or raised)


def finish(state: State) -> Episode | None:
    """The episode that is still open after the last window."""
    return state.episode


def episodes(rule: Rule, labels: Iterable[Label], raised: Collection[str] = ()) -> Iterator[Episode]:
    """The episodes of one call, oldest first; `raised` holds the ids of its stored escalations."""
    state = State()
    for label in sorted(labels, key=lambda label: (label.start_ms, label.window_id)):
        state, closed = step(rule, state, label, raised=raised_at(rule, label, raised))
        if closed:
            yield closed
    if last := finish(state):
        yield last


def raised_at(rule: Rule, label: Label, raised: Collection[str]) -> bool:
    """Whether an escalation of this rule is stored for this very window."""
    return bool(raised) and escalation_id(label.call, rule.name, label.window_id) in raised


def escalations(
    rules: Iterable[Rule],
    labels: Collection[Label],
    raised: Collection[str],
    *,
    consent: Consent,
    reference: str | None,
    at: datetime,
) -> list[Escalation]:
    """What must be raised for one call, given all its stored labels and the ids of its stored escalations."""
    return [
        _escalation(rule, episode, consent=consent, reference=reference, at=at)
        for rule in rules
        for episode in episodes(rule, labels, raised)
        if not episode.raised
    ]


def _escalation(rule: Rule, episode: Episode, *, consent: Consent, reference: str | None, at: datetime) -> Escalation:
    opening = episode.hits[-1]
    return Escalation(
        id=escalation_id(opening.call, rule.name, opening.window_id),
        call=opening.call,
        use_case=opening.use_case,
        rule=rule.name,
        severity=rule.severity,
        window_ids=tuple(hit.window_id for hit in episode.hits),
        from_ms=episode.hits[0].start_ms,
        to_ms=opening.end_ms,
        heads=opening.heads,
        consent=consent,
        bundle=opening.bundle,
        raised_at=at,
        reference=reference,
        late=at - opening.spoken_at > LATE,
        classes=opening.classes,
    )


def check(rule: Rule, heads: Mapping[str, Collection[str]]) -> None:
    """Refuse a rule that cannot work; `heads` maps each head to its classes."""
    place = f"rule {rule.name!r}"
    if not 1 <= rule.hits <= rule.of:
        raise RuleError(f"{place}: hits {rule.hits} of {rule.of}; give 1 <= hits <= of")
    if rule.cool_down_ms < 0:
        raise RuleError(f"{place}: cool_down_ms {rule.cool_down_ms} is negative; give 0 or more")
    if not rule.when:
        raise RuleError(f"{place}: `when` is empty, so every window would be a hit; give a condition")
    for number, condition in enumerate(rule.when):
        _check_condition(f"{place}, when[{number}]", condition, heads)


def _check_condition(place: str, condition: Condition, heads: Mapping[str, Collection[str]]) -> None:
    if condition.head not in heads:
        raise RuleError(f"{place}: no head {condition.head!r}; name one of {', '.join(heads)}")
    bounds = {**condition.at_least, **condition.at_most}
    named = (*condition.any_of, *condition.none_of, *bounds)
    if not named:
        raise RuleError(f"{place}: asks nothing; give any_of, none_of, at_least or at_most")
    classes = heads[condition.head]
    for name in named:
        if name not in classes:
            raise RuleError(f"{place}: head {condition.head!r} has no class {name!r}; name one of {', '.join(classes)}")
    for name, p in (*condition.at_least.items(), *condition.at_most.items()):
        if not 0 <= p <= 1:
            raise RuleError(f"{place}: {p} for class {name!r} is no probability; give 0 to 1")
