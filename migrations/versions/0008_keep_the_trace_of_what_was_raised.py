"""Keep the trace of what was raised, so that the relay goes on with it.

Empty where there are no traces, in rows from before, and in retractions. A relay of the last release takes no notice.

Revision: 0008
After: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("traceparent", sa.Text, nullable=True))


def downgrade() -> None:
    op.drop_column("outbox", "traceparent")
