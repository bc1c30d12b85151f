"""The rules over the end of a call, so that a long call costs no more than a short one.

What is due is the same as over all its rows, as long as those before were evaluated when they came. Where the last rows
cannot show that, all of them are asked for: late rows, a cool-down longer than the tail, an episode that goes on from
before it.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from streams.domain.records import Consent, Escalation, Label
from streams.domain.rules import Rule, State, escalations, raised_at, step
from streams.domain.windows import MAX_WINDOW_MS


def due(
    rules: Sequence[Rule],
    tail: Sequence[Label],
    new: Collection[str],
    raised: Collection[str],
    *,
    whole: bool,
    consent: Consent,
    reference: str | None,
    at: datetime,
) -> list[Escalation] | None:
    """What must be raised, given the call's last labelled windows by `start_ms` (`whole`: all), and all new ones' ids.

    None: not to be told from these.
    """
    found = escalations(rules, tail, raised, consent=consent, reference=reference, at=at)
    if whole:
        return found
    old = [label for label in tail if label.window_id not in new]
    latest = tail[len(old) :]
    if {label.window_id for label in latest} != set(new):
        return None
    if latest and not all(_is_decided(rule, old, latest[0].start_ms, raised) for rule in rules):
        return None
    return [escalation for escalation in found if escalation.window_ids[-1] in new]


def _is_decided(rule: Rule, old: Sequence[Label], start_ms: int, raised: Collection[str]) -> bool:
    """Whether these rows tell the rule's state before `start_ms`, whatever lies before them."""
    # The first `of - 1` lack what came before them: at these and earlier ones the rule must have held too long ago.
    if len(old) < rule.of or old[rule.of - 1].start_ms + MAX_WINDOW_MS > start_ms - rule.cool_down_ms:
        return False
    state = State()
    for label in old:
        state, _ = step(rule, state, label, raised=raised_at(rule, label, raised))
    episode = state.episode
    return episode is None or episode.raised or start_ms - episode.held_ms >= rule.cool_down_ms
