"""Lease outbox rows to a relay.

A relay of the last release that is still at work locks the rows that it sends, and takes no notice of a lease: what
both have in hand is sent twice. Of a call that is withdrawn in that minute, it may send the retraction too early.

Revision: 0005
After: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("outbox", "claimed_until")
