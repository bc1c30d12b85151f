"""The tables, as `migrations/` makes them.

`call` is always a pseudonym: 64 hex digits, checked by the database, so that no raw id gets in by mistake.
Rows are locked in the order `call_state`, `calls`, `labels`, `evolutions`, `escalations`, `outbox`, and calls in
the order of their pseudonyms; `audit` comes last of all, for its one lock is held until the commit. So no two
transactions of ours wait for each other.
"""

from collections.abc import Iterable
from enum import StrEnum

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from streams.domain.evolution import Overall, Trend
from streams.domain.records import Outcome, Role

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)


class Closing(StrEnum):
    """Why a call is closed for good."""

    ENDED = "ended"  #: it was over; its row and labels stay until their own retention
    WITHDRAWN = "withdrawn"  #: nothing of it is left
    ERASED = "erased"  #: nothing of it is left


def _one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def _pseudonym() -> CheckConstraint:
    return CheckConstraint("call ~ '^[0-9a-f]{64}$'", name="pseudonym")


def _at(name: str, *, now: bool = False, nullable: bool = False) -> Column[object]:
    default = func.clock_timestamp() if now else None
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=default)


def _json(name: str, empty: str | None = "{}", *, nullable: bool = False) -> Column[object]:
    default = None if empty is None else text(f"'{empty}'::jsonb")
    return Column(name, JSONB(none_as_null=True), nullable=nullable, server_default=default)


#: One row a call; written by the segment stage alone. No row, or another `consent_seq`: not to be scored.
calls = Table(
    "calls",
    metadata,
    Column("call", Text, primary_key=True),
    Column("epoch", Text, nullable=False),
    Column("use_case", Text, nullable=False),
    Column("reference", Text),  # the contact centre's own, opaque
    Column("language", Text, nullable=False),
    Column("channels", ARRAY(Text), nullable=False),  # roles, in channel order
    _json("notice", None, nullable=True),
    _json("consents"),  # purpose -> Consent
    Column("consent_seq", BigInteger),  # of the `emotion.alerting` grant in force; null: none
    _at("consent_expires_at", nullable=True),  # of the same grant
    _at("started_at"),
    _at("ended_at", nullable=True),
    Column("end_reason", Text),
    _json("fates"),  # "0 customer" -> fate -> ms
    _at("turn_at", nullable=True),  # the log's time of the beginning of its oldest open turn; null: none is open
    _pseudonym(),
    CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name="end"),
)

#: Where each call resumes from. A closed row is a tombstone: no state, and nothing opens the call again.
call_state = Table(
    "call_state",
    metadata,
    Column("call", Text, primary_key=True),
    Column("partition", Integer),  # null: erased before any record of the call was read
    Column("next_offset", BigInteger, nullable=False),
    Column("state", LargeBinary, nullable=False),  # sealed, see `sealing`
    Column("closed", Text),  # a `Closing`; null: open
    _at("saved_at", now=True),
    _pseudonym(),
    _one_of("closed", Closing),
    CheckConstraint("closed IS NULL OR octet_length(state) = 0", name="tombstone_is_empty"),
    CheckConstraint("closed IS NOT NULL OR partition IS NOT NULL", name="open_has_partition"),
)
Index(None, call_state.c.partition, postgresql_where=call_state.c.closed.is_(None))
Index(None, call_state.c.saved_at, postgresql_where=call_state.c.closed.is_not(None))


def _call(*, primary_key: bool = False) -> Column[str]:
    """Tie a row to its call, which it cannot outlive."""
    own = ForeignKey("calls.call", ondelete="CASCADE")
    return Column("call", Text, own, primary_key=primary_key, nullable=False)


#: One row a window; the first writer wins.
labels = Table(
    "labels",
    metadata,
    Column("window_id", Text, primary_key=True),
    _call(),
    Column("use_case", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("end_ms", BigInteger, nullable=False),
    Column("consent_seq", BigInteger, nullable=False),
    _at("spoken_at"),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("bundle", Text, nullable=False),
    _json("heads"),  # head -> class -> probability
    _json("classes"),  # head -> class said; empty in rows from before it was told
    _at("labelled_at", now=True),
    _one_of("role", Role),
    _one_of("outcome", Outcome),
)
Index(None, labels.c.call, labels.c.start_ms)

#: What a call's labels come to, one row a call; written with them. See `streams.domain.evolution`.
evolutions = Table(
    "evolutions",
    metadata,
    _call(primary_key=True),
    _json("readings", None),  # of every window of `labels`: the state of the fold
    Column("windows", Integer, nullable=False),
    Column("judged", Integer, nullable=False),
    _json("thirds", None),  # of the media time, each with its judged, emotional and negative ms
    Column("strongest_ms", BigInteger),  # where the strongest negative window begins; null: there is none
    Column("strength", Integer, nullable=False),
    Column("trend", Text, nullable=False),
    Column("overall", Text, nullable=False),
    _at("evolved_at", now=True),
    _one_of("trend", Trend),
    _one_of("overall", Overall),
)

#: What was raised; the first writer wins.
escalations = Table(
    "escalations",
    metadata,
    Column("id", Text, primary_key=True),
    _call(),
    Column("use_case", Text, nullable=False),
    Column("reference", Text),
    Column("rule", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("window_ids", ARRAY(Text), nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    _json("heads"),  # of the window that raised it
    _json("classes"),  # the same
    _json("consent", None),  # the grant that allowed it
    Column("bundle", Text, nullable=False),
    _at("raised_at"),
    Column("late", Boolean, nullable=False),
)
Index(None, escalations.c.call, escalations.c.rule, escalations.c.to_ms)
Index(None, escalations.c.raised_at)

#: Escalations on their way to Kafka, sent in the order of `id` within a call. Retractions outlive their call.
outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("call", Text, nullable=False),
    Column("escalation_id", Text, nullable=False),
    _json("escalation", None),  # an `Escalation`, as it will be sent
    _at("created_at", now=True),
    _at("tried_at", nullable=True),  # committed before the first try to send: from then on it may be out
    _at("sent_at", nullable=True),
    _at("claimed_until", nullable=True),  # by the database's clock: a relay has it in hand
    Column("traceparent", Text),  # of the window that raised it, where there are traces
    _pseudonym(),
)
Index("ix_outbox_unsent", outbox.c.id, postgresql_where=outbox.c.sent_at.is_(None))
Index("ix_outbox_call_escalation_id", outbox.c.call, outbox.c.escalation_id)
Index("ix_outbox_sent_at", outbox.c.sent_at, postgresql_where=outbox.c.sent_at.is_not(None))

#: How often a worker began with a record and did not come back.
attempts = Table(
    "attempts",
    metadata,
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    _at("tried_at", now=True),
    PrimaryKeyConstraint("topic", "partition", "offset"),
    CheckConstraint("count > 0", name="count"),
)

#: Append-only: triggers refuse UPDATE, DELETE and TRUNCATE, and chain each row to the one before it.
audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _at("at", now=True),
    Column("action", Text, nullable=False),
    Column("actor", Text, nullable=False),  # a process or a command, never a person's name
    Column("call", Text),
    _json("detail"),
    Column("previous", Text),  # `hash` of the row before; see `streams.domain.trail`
    Column("hash", Text),  # null, and `previous` too: written before there was a chain
    _pseudonym(),
    CheckConstraint("action ~ '^[a-z_.]{1,40}$'", name="action"),
    CheckConstraint("actor ~ '^[a-z_.]{1,40}$'", name="actor"),
)
Index(None, audit.c.call)

#: Receipts of `undertone erase`, one row a pseudonym under which the call was looked for.
erasures = Table(
    "erasures",
    metadata,
    Column("id", Text, nullable=False),  # of the command's run
    Column("call", Text, nullable=False),
    Column("epoch", Text, nullable=False),
    _at("erased_at", now=True),
    Column("deleted", Integer, nullable=False),  # rows; by table it would tell that there were escalations
    _at("gone_at"),  # when the last topic has deleted the call's last record
    _pseudonym(),
    PrimaryKeyConstraint("id", "call"),
)
Index(None, erasures.c.call)
