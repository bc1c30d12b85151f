"""Keep how a call evolves.

Code of the last release that is still at work deletes a call's row, and with it goes this one. What it labels is in no
reading: the next label that the new code writes of the call finds the number of windows wrong and reads all of them.

Revision: 0006
After: 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "evolutions",
        sa.Column("call", sa.Text(), nullable=False),
        sa.Column("readings", postgresql.JSONB(), nullable=False),
        sa.Column("windows", sa.Integer(), nullable=False),
        sa.Column("judged", sa.Integer(), nullable=False),
        sa.Column("thirds", postgresql.JSONB(), nullable=False),
        sa.Column("strongest_ms", sa.BigInteger(), nullable=True),
        sa.Column("strength", sa.Integer(), nullable=False),
        sa.Column("trend", sa.Text(), nullable=False),
        sa.Column("overall", sa.Text(), nullable=False),
        sa.Column(
            "evolved_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("trend IN ('better', 'steady', 'worse', 'unclear')", name=op.f("ck_evolutions_trend")),
        sa.CheckConstraint("overall IN ('neutral', 'emotional', 'unclear')", name=op.f("ck_evolutions_overall")),
        sa.ForeignKeyConstraint(["call"], ["calls.call"], name=op.f("fk_evolutions_call_calls"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("call", name=op.f("pk_evolutions")),
    )


def downgrade() -> None:
    op.drop_table("evolutions")
