"""Tell in the chain of rows before it.

Rows without a hash are from before 0002, or their hashes were deleted. Where there are any, a row of the chain now
says so: `undertone audit verify` refuses them where none does. A row of the trail stays, so there is no way down.

Revision: 0003
After: 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        INSERT INTO audit (action, actor)
        SELECT 'trail.chained', 'migration' WHERE EXISTS (SELECT FROM audit WHERE hash IS NULL)
        """
    )


def downgrade() -> None:
    """Nothing: no row of the trail is ever deleted."""
