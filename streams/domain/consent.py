"""Whether a call's audio may be judged: notice and consent, both in force, or nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from streams.domain.records import Consent, Notice, Purpose, Started


class Standing(StrEnum):
    """How the consent to `emotion.alerting` of an open call stands."""

    IN_FORCE = "in_force"
    EXPIRED = "expired"
    REFUSED = "refused"  #: for good: nothing of the call will be heard
    MISSING = "missing"  #: no grant yet, or no notice that it could lean on


@dataclass(frozen=True, slots=True)
class Permission:
    """What was told and allowed so far. `since` is the record that put `emotion.alerting` in force."""

    notice: Notice | None = None
    consents: Mapping[Purpose, Consent] = field(default_factory=dict)
    since: int | None = None
    withdrawn: bool = False  #: of `emotion.alerting`; final


def begin(started: Started, sequence: int) -> Permission:
    """The permission that a call starts with; a refusal among its consents is as final as a withdrawal."""
    permission = Permission(notice=started.notice)
    for consent in started.consents:
        permission = step(permission, consent, sequence)
    return permission


def step(permission: Permission, consent: Consent, sequence: int) -> Permission:
    """Take in one consent record. A withdrawal of `emotion.alerting` is final: a later grant opens nothing."""
    if permission.withdrawn:
        return permission
    after = replace(permission, consents={**permission.consents, consent.purpose: consent})
    if consent.purpose is not Purpose.ALERTING:
        return after
    if not consent.granted:
        return replace(after, since=None, withdrawn=True)
    # A renewal keeps the record that windows in flight already name.
    return after if permission.since is not None else replace(after, since=sequence)


def in_force(permission: Permission, at: datetime) -> int | None:
    """The record under which audio logged at `at` may be judged; None: it must not even be decoded."""
    consent = permission.consents.get(Purpose.ALERTING)
    if consent is None or permission.withdrawn or not consent.granted or not consent.basis.strip():
        return None
    notice = consent.notice or permission.notice
    if notice is None or not notice.id.strip() or notice.given_at > at or consent.given_at > at:
        return None
    if consent.expires_at is not None and consent.expires_at <= at:
        return None
    return permission.since


def standing(permission: Permission, at: datetime) -> Standing:
    """How the consent stands for audio logged at `at`; in force exactly where `in_force` names a record."""
    if in_force(permission, at) is not None:
        return Standing.IN_FORCE
    if permission.withdrawn:
        return Standing.REFUSED
    consent = permission.consents.get(Purpose.ALERTING)
    expired = consent is not None and consent.expires_at is not None and consent.expires_at <= at
    return Standing.EXPIRED if expired else Standing.MISSING
