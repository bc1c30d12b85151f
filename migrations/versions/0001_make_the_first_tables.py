"""Make the first tables.

Before this revision there is no data and no code at work: the one migration that may do as it likes.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attempts",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("tried_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint("count > 0", name=op.f("ck_attempts_count")),
        sa.PrimaryKeyConstraint("topic", "partition", "offset", name=op.f("pk_attempts")),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("call", sa.Text(), nullable=True),
        sa.Column("detail", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.CheckConstraint("action ~ '^[a-z_.]{1,40}$'", name=op.f("ck_audit_action")),
        sa.CheckConstraint("actor ~ '^[a-z_.]{1,40}$'", name=op.f("ck_audit_actor")),
        sa.CheckConstraint("call ~ '^[0-9a-f]{64}$'", name=op.f("ck_audit_pseudonym")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_call"), "audit", ["call"], unique=False)
    op.create_table(
        "call_state",
        sa.Column("call", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=True),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("closed", sa.Text(), nullable=True),
        sa.Column("saved_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint("call ~ '^[0-9a-f]{64}$'", name=op.f("ck_call_state_pseudonym")),
        sa.CheckConstraint("closed IN ('ended', 'withdrawn', 'erased')", name=op.f("ck_call_state_closed")),
        sa.CheckConstraint(
            "closed IS NOT NULL OR partition IS NOT NULL", name=op.f("ck_call_state_open_has_partition")
        ),
        sa.CheckConstraint("closed IS NULL OR octet_length(state) = 0", name=op.f("ck_call_state_tombstone_is_empty")),
        sa.PrimaryKeyConstraint("call", name=op.f("pk_call_state")),
    )
    op.create_index(
        op.f("ix_call_state_partition"),
        "call_state",
        ["partition"],
        unique=False,
        postgresql_where=sa.text("closed IS NULL"),
    )
    op.create_index(
        op.f("ix_call_state_saved_at"),
        "call_state",
        ["saved_at"],
        unique=False,
        postgresql_where=sa.text("closed IS NOT NULL"),
    )
    op.create_table(
        "calls",
        sa.Column("call", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("use_case", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("channels", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("notice", postgresql.JSONB(), nullable=True),
        sa.Column("consents", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("consent_seq", sa.BigInteger(), nullable=True),
        sa.Column("consent_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.Column("fates", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.CheckConstraint("call ~ '^[0-9a-f]{64}$'", name=op.f("ck_calls_pseudonym")),
        sa.CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name=op.f("ck_calls_end")),
        sa.PrimaryKeyConstraint("call", name=op.f("pk_calls")),
    )
    op.create_table(
        "erasures",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("call", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("deleted", sa.Integer(), nullable=False),
        sa.Column("gone_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("call ~ '^[0-9a-f]{64}$'", name=op.f("ck_erasures_pseudonym")),
        sa.PrimaryKeyConstraint("id", "call", name=op.f("pk_erasures")),
    )
    op.create_index(op.f("ix_erasures_call"), "erasures", ["call"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("call", sa.Text(), nullable=False),
        sa.Column("escalation_id", sa.Text(), nullable=False),
        sa.Column("escalation", postgresql.JSONB(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("call ~ '^[0-9a-f]{64}$'", name=op.f("ck_outbox_pseudonym")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_call_escalation_id", "outbox", ["call", "escalation_id"], unique=False)
    op.create_index(
        "ix_outbox_sent_at", "outbox", ["sent_at"], unique=False, postgresql_where=sa.text("sent_at IS NOT NULL")
    )
    op.create_index("ix_outbox_unsent", "outbox", ["id"], unique=False, postgresql_where=sa.text("sent_at IS NULL"))
    op.create_table(
        "escalations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("call", sa.Text(), nullable=False),
        sa.Column("use_case", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("window_ids", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=False),
        sa.Column("heads", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("consent", postgresql.JSONB(), nullable=False),
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["call"], ["calls.call"], name=op.f("fk_escalations_call_calls"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_escalations")),
    )
    op.create_index(op.f("ix_escalations_call_rule_to_ms"), "escalations", ["call", "rule", "to_ms"], unique=False)
    op.create_index(op.f("ix_escalations_raised_at"), "escalations", ["raised_at"], unique=False)
    op.create_table(
        "labels",
        sa.Column("window_id", sa.Text(), nullable=False),
        sa.Column("call", sa.Text(), nullable=False),
        sa.Column("use_case", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.Column("consent_seq", sa.BigInteger(), nullable=False),
        sa.Column("spoken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("heads", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column(
            "labelled_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("outcome IN ('labelled', 'abstained', 'failed')", name=op.f("ck_labels_outcome")),
        sa.CheckConstraint("role IN ('customer', 'agent', 'mixed')", name=op.f("ck_labels_role")),
        sa.ForeignKeyConstraint(["call"], ["calls.call"], name=op.f("fk_labels_call_calls"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("window_id", name=op.f("pk_labels")),
    )
    op.create_index(op.f("ix_labels_call_start_ms"), "labels", ["call", "start_ms"], unique=False)
    op.execute(
        """
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'table % is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
        """
    )


def downgrade() -> None:
    op.drop_table("labels")
    op.drop_table("escalations")
    op.drop_table("outbox")
    op.drop_table("erasures")
    op.drop_table("calls")
    op.drop_table("call_state")
    op.drop_table("audit")
    op.drop_table("attempts")
    op.execute("DROP FUNCTION refuse_change()")
