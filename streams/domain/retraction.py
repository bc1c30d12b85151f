"""What is said when an escalation that was already sent must be forgotten."""

from dataclasses import replace

from streams.domain.records import Escalation


def retraction(escalation: Escalation) -> Escalation:
    """The same escalation by its ids alone: nothing of the speech, the emotion or the contact centre's reference."""
    return replace(
        escalation, window_ids=(), from_ms=0, to_ms=0, heads={}, classes={}, reference=None, late=False, retracted=True
    )
