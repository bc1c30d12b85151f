"""What may be judged: the customer's voice alone, whatever a record says, and under the consent in force alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from streams.domain.deadletters import Reason, UnusableError
from streams.domain.privacy import window_id
from streams.domain.records import Consent, Label, Notice, Outcome, Role, Window
from streams.domain.rules import said
from streams.domain.schemes import Scheme
from streams.domain.unlabelled import Unlabelled


class OutOfDomain(StrEnum):
    """What a use case makes of a window that is unlike anything that its bundle was trained on."""

    ABSTAIN = "abstain"  #: nothing is said of it
    MARK = "mark"  #: what is said of it counts, and carries the remark


@dataclass(frozen=True, slots=True)
class Asked:
    """What a use case asks of the labels of its windows."""

    scheme: Scheme
    out_of_domain: OutOfDomain = OutOfDomain.ABSTAIN
    bounded: frozenset[str] = frozenset()  #: heads of which a rule asks how likely a class is


@dataclass(frozen=True, slots=True)
class Served:
    """A bundle as a use case asks for it and the inference service names it: one for demonstrations fits no other."""

    name: str
    demo: bool


def check_window(window: Window) -> Window:
    """Give back a window that may be scored; UnusableError otherwise."""
    _check_span(window, window.id)
    return window


def check_label(label: Label) -> Label:
    """Give back a label that may be stored; UnusableError otherwise."""
    _check_span(label, label.window_id)
    judged = label.outcome is Outcome.LABELLED
    reasons = {None, Unlabelled.DISTANCE} if judged else set(Unlabelled)
    if judged != bool(said(label)) or label.reason not in reasons:
        raise UnusableError(
            Reason.MALFORMED,
            "a label has classes, and no reason but distance; an abstained or failed one a reason and no classes",
        )
    return label


def fitted(label: Label, asked: Asked | None) -> Label:
    """What is kept of a label as the inference service gave it.

    One whose heads are not the scheme's, or lack probabilities that a rule asks for, is failed: no rule could ever
    hold on it. One that is marked as out of domain is so only where the use case marks, else it is abstained from.
    """
    if label.outcome is not Outcome.LABELLED:
        return label
    if asked is None or not _speaks(label, asked.scheme):
        return _unlabelled(label, Outcome.FAILED, Unlabelled.OTHER_SCHEME)
    if not asked.bounded <= label.heads.keys():
        return _unlabelled(label, Outcome.FAILED, Unlabelled.UNCALIBRATED)
    if label.reason is Unlabelled.DISTANCE and asked.out_of_domain is OutOfDomain.ABSTAIN:
        return _unlabelled(label, Outcome.ABSTAINED, Unlabelled.DISTANCE)
    return label


def _unlabelled(label: Label, outcome: Outcome, reason: Unlabelled) -> Label:
    return replace(label, outcome=outcome, reason=reason, heads={}, classes={})


def _speaks(label: Label, scheme: Scheme) -> bool:
    """Whether the label says a class of every head of the scheme, and has probabilities of no others."""
    heads, classes = _sets(scheme.heads()), said(label)
    named = classes.keys() == heads.keys() and all(name in heads[head] for head, name in classes.items())
    return named and all(names == heads.get(head) for head, names in _sets(label.heads).items())


def fits(heads: Mapping[str, Iterable[str]], scheme: Scheme) -> bool:
    """Whether these heads, each with its classes, are the scheme's."""
    return _sets(heads) == _sets(scheme.heads())


def allowed(record: Window | Label, consent_seq: int | None, expires_at: datetime | None) -> bool:
    """Whether a call with this consent is open for the record, and was when the words were spoken."""
    if consent_seq is None or record.consent_seq != consent_seq:
        return False
    return expires_at is None or record.spoken_at < expires_at


def told(consent: Consent, notice: Notice | None) -> Consent:
    """Complete a grant that brings no notice of its own with the call's."""
    return consent if consent.notice else replace(consent, notice=notice)


def _check_span(record: Window | Label, id_: str) -> None:
    if record.role is not Role.CUSTOMER:
        raise UnusableError(Reason.NOT_CUSTOMER, "role must be customer: nobody else is scored")
    if not 0 <= record.start_ms < record.end_ms:
        raise UnusableError(Reason.MALFORMED, "start_ms must be 0 or more and below end_ms")
    if id_ != window_id(record.call, record.role, record.start_ms):
        raise UnusableError(Reason.MALFORMED, "the window's id must be the one derived from call, role and start_ms")


def _sets(heads: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    return {head: set(classes) for head, classes in heads.items()}
