"""What may be judged: the customer's voice alone, whatever a record says, and under the consent in force alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from streams.domain.deadletters import Reason, UnusableError
from streams.domain.privacy import window_id
from streams.domain.records import Consent, Label, Notice, Outcome, Role, Window
from streams.domain.schemes import Scheme
from streams.domain.unlabelled import Unlabelled


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
    if judged != bool(label.heads) or judged != (label.reason is None):
        raise UnusableError(
            Reason.MALFORMED, "a label has heads and no reason, an abstained or failed one a reason and no heads"
        )
    return label


def fitted(label: Label, scheme: Scheme | None) -> Label:
    """Give back the label, or a failed one where its heads are not the scheme's: no rule could ever hold on it."""
    if label.outcome is not Outcome.LABELLED or (scheme is not None and fits(label.heads, scheme)):
        return label
    return replace(label, outcome=Outcome.FAILED, heads={}, reason=Unlabelled.OTHER_SCHEME)


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
