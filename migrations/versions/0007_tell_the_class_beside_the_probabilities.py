"""Tell the class beside the probabilities.

It is no longer the likeliest one in every row: a head may have a class and no probabilities. Rows from before keep
theirs empty, and are read as they always were.

Revision: 0007
After: 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = ("labels", "escalations")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("classes", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "classes")
